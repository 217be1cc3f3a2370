from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from saved_checkpoint import random_weights, save_checkpoint

from detector import checkpoint, config
from detector.build_detector import DetectorOptions
from detector.checkpoint import open_checkpoint
from detector.data.formats.shapes import CLASS_NAMES
from detector.errors import UserError

Configure = Callable[..., config.Train]


class Code:
    """Pickled, it is a call that makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def test_weights_configuration_and_classes_come_back_as_they_were_saved(tiny: Configure, tmp_path: Path) -> None:
    train = tiny()
    opened = open_checkpoint(save_checkpoint(tmp_path / "a.ckpt", train, CLASS_NAMES, seed=5, averaged=False))
    assert opened.run == train
    assert opened.options == DetectorOptions.of(train)
    assert opened.class_names == CLASS_NAMES
    assert opened.category_ids == (1, 2, 3, 4, 5)
    assert opened.epoch == 3
    detector = opened.detector()
    assert not any(module.training for module in detector.modules())
    expected = random_weights(train, len(CLASS_NAMES), seed=5)
    assert detector.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in detector.state_dict().items())


def test_averaged_weights_are_preferred(tiny: Configure, tmp_path: Path) -> None:
    train = tiny()
    opened = open_checkpoint(save_checkpoint(tmp_path / "a.ckpt", train, CLASS_NAMES, seed=5))
    trained, average = (random_weights(train, len(CLASS_NAMES), seed=seed) for seed in (5, 6))
    assert any(not torch.equal(trained[name], average[name]) for name in average)
    assert opened.weights.keys() == average.keys()
    assert all(torch.equal(value, average[name]) for name, value in opened.weights.items())


def test_pretrained_weights_are_not_fetched_again(tiny: Configure) -> None:
    train = tiny(backbone=config.ResNetOptions(depth=18, pretrained=True))
    checkpoint.build(train, 5, pretrained=False)  # there is no network in a test
    assert train.backbone is not None
    assert train.backbone.pretrained


def test_a_file_with_code_is_refused_and_the_code_does_not_run(tiny: Configure, tmp_path: Path) -> None:
    good = torch.load(save_checkpoint(tmp_path / "good.ckpt", tiny(), CLASS_NAMES), weights_only=True)
    marker = tmp_path / "the code has run"
    bad = tmp_path / "bad.ckpt"
    torch.save({**good, "callbacks": Code(marker)}, bad)
    with pytest.raises(UserError, match=r"bad\.ckpt.*not a checkpoint of this project"):
        open_checkpoint(bad)
    assert not marker.exists()
    torch.load(bad, weights_only=False)
    assert marker.exists(), "the file of this test holds no code"


def _truncated(file: Path, tiny: Configure) -> None:
    save_checkpoint(file, tiny(), CLASS_NAMES)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _without(key: str) -> Callable[[Path, Configure], None]:
    def write(file: Path, tiny: Configure) -> None:
        content = torch.load(save_checkpoint(file, tiny(), CLASS_NAMES), weights_only=True)
        del content[key]
        torch.save(content, file)

    return write


def _of_an_older_schema(file: Path, tiny: Configure) -> None:
    content = torch.load(save_checkpoint(file, tiny(), CLASS_NAMES), weights_only=True)
    content[checkpoint.KEY]["run"]["config"]["trainer"]["an_option_that_went_away"] = 1
    torch.save(content, file)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda file, tiny: None, "no such file"),
        (lambda file, tiny: file.mkdir(), "is a folder"),
        (lambda file, tiny: file.write_text("weights\n"), "not a checkpoint"),
        (lambda file, tiny: file.write_bytes(b""), "not a checkpoint"),
        (_truncated, "not a checkpoint"),
        (lambda file, tiny: torch.save([1, 2], file), "not a checkpoint"),
        (lambda file, tiny: torch.save(torch.zeros(3), file), "not a checkpoint"),
        (lambda file, tiny: torch.save({"weight": torch.zeros(3)}, file), "not a checkpoint"),
        (_without(checkpoint.KEY), "not a checkpoint"),
        (_without("state_dict"), "not a checkpoint"),
        (_without("epoch"), "not a checkpoint"),
        (_of_an_older_schema, "an_option_that_went_away"),
    ],
    ids=[
        "missing", "folder", "text", "empty", "truncated", "list", "tensor", "other weights",
        "no entry of ours", "no weights", "no epoch", "older schema",
    ],
)  # fmt: skip
def test_what_is_no_checkpoint_gets_one_line_that_names_the_file(
    write: Callable[[Path, Configure], Any], said: str, tiny: Configure, tmp_path: Path
) -> None:
    file = tmp_path / "some.ckpt"
    write(file, tiny)
    with pytest.raises(UserError) as caught:
        open_checkpoint(file)
    assert str(file) in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_do_not_fit_the_configuration_get_one_line(tiny: Configure, tmp_path: Path) -> None:
    file = save_checkpoint(tmp_path / "some.ckpt", tiny(), CLASS_NAMES)
    content = torch.load(file, weights_only=True)
    content["state_dict"] = {f"{name}.renamed": value for name, value in content["state_dict"].items()}
    torch.save(content, file)
    with pytest.raises(UserError) as caught:
        open_checkpoint(file).detector()
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
