from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from saved_checkpoint import random_weights, save_checkpoint

from detector import checkpoint, config
from detector.build_detector import DetectorOptions
from detector.checkpoint import open_checkpoint
from detector.errors import UserError
from detector.training.init import start_from
from detector.training.train import train

Configure = Callable[..., config.Train]
NAMES = ("a", "b", "c")
BRANCH = "head.class_branches.P3.1"


def started(settings: config.Train, names: tuple[str, ...]) -> tuple[torch.nn.Module, list[str]]:
    torch.manual_seed(9)
    detector = checkpoint.build(settings, len(names))
    return detector, start_from(detector, settings, names)


def test_the_same_classes_take_over_every_averaged_weight(tiny: Configure, tmp_path: Path) -> None:
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(), NAMES, seed=5)
    detector, (line,) = started(tiny(init=str(file)), NAMES)
    average = random_weights(tiny(), 3, seed=6)
    assert all(torch.equal(value, average[name]) for name, value in detector.state_dict().items())
    assert line == f"init={file}: {len(average)} of {len(average)} tensors taken over; begins anew: nothing"


def test_rows_of_classes_of_the_same_name_are_taken_over_and_the_others_begin_anew(
    tiny: Configure, tmp_path: Path
) -> None:
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(), NAMES, seed=5, averaged=False)
    detector, (line,) = started(tiny(init=str(file)), ("new", "c", "a", "other"))
    given, found = random_weights(tiny(), 3, seed=5), detector.state_dict()
    torch.manual_seed(9)
    anew = checkpoint.build(tiny(), 4).state_dict()
    by_class = {name for name in found if found[name].shape != given[name].shape}
    assert len(by_class) == 6
    for name, value in found.items():
        if name not in by_class:
            assert torch.equal(value, given[name]), name
        else:
            assert torch.equal(value[1], given[name][2])
            assert torch.equal(value[2], given[name][0])
            assert torch.equal(value[0], anew[name][0])
            assert torch.equal(value[3], anew[name][3])
    assert "6 for 2 of 4 classes; begins anew: the rows of 2 classes (new, other)" in line


def test_as_many_classes_in_another_order_do_not_take_each_other_s_rows(tiny: Configure, tmp_path: Path) -> None:
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(), NAMES, seed=5, averaged=False)
    detector, _ = started(tiny(init=str(file)), ("b", "x", "a"))
    given, found = random_weights(tiny(), 3, seed=5), detector.state_dict()
    (name,) = [name for name in found if name.startswith("head.class_branches.P3") and len(found[name].shape) == 1
               and len(found[name]) == 3]  # fmt: skip
    assert torch.equal(found[name][0], given[name][1])
    assert torch.equal(found[name][2], given[name][0])
    assert not torch.equal(found[name][1], given[name][1])


@pytest.mark.parametrize(
    ("parts", "anew"),
    [
        ({"head": config.AnchorBasedHeadOptions()}, 6),
        ({"model": config.FasterRCNNOptions(channels=16, width=32)}, 4),
    ],
    ids=["anchors", "two stages"],
)
def test_where_classes_have_no_row_of_their_own_they_begin_anew_and_the_line_says_so(
    tiny: Configure, tmp_path: Path, parts: dict[str, object], anew: int
) -> None:
    settings = tiny(**parts)
    weights = checkpoint.build(settings, 3).state_dict()
    entry = checkpoint.entry(DetectorOptions.of(settings), NAMES, (1, 2, 3), settings)
    content = {"state_dict": {f"detector.{k}": v for k, v in weights.items()}, "epoch": 1, checkpoint.KEY: entry}
    torch.save(content, tmp_path / "a.ckpt")
    detector, (line,) = started(tiny(init=str(tmp_path / "a.ckpt"), **parts), ("x", "y"))
    assert f"{len(weights) - anew} of {len(weights)} tensors taken over" in line
    assert f"begins anew: {anew} that depend on the classes" in line
    found = detector.state_dict()
    same = sum(
        value.shape == weights[name].shape and torch.equal(value, weights[name]) for name, value in found.items()
    )
    assert same >= len(weights) - anew


def test_parts_of_another_detector_are_taken_over_where_they_fit(tiny: Configure, tmp_path: Path) -> None:
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(), NAMES, seed=5, averaged=False)
    detector, (line,) = started(tiny(init=str(file), head=config.AnchorBasedHeadOptions()), NAMES)
    given = random_weights(tiny(), 3, seed=5)
    found = detector.state_dict()
    assert all(torch.equal(value, given[name]) for name, value in found.items() if name.startswith("backbone."))
    assert "that it has not, or of another shape (head.branches.P3" in line


def test_another_normalisation_of_images_is_said(tiny: Configure, tmp_path: Path) -> None:
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(), NAMES)
    model = config.SingleShotOptions(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0])
    _, lines = started(tiny(init=str(file), model=model), NAMES)
    assert len(lines) == 2
    assert "model.mean=[0.485, 0.456, 0.406]" in lines[1]


def test_a_detector_with_nothing_in_common_is_refused(tiny: Configure, tmp_path: Path) -> None:
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(), NAMES)
    other = tiny(
        init=str(file),
        backbone=config.VGGOptions(depth=11),
        neck=config.FPNOptions(channels=16),
        head=config.AnchorBasedHeadOptions(),
    )
    with pytest.raises(UserError, match=r"init=.*a\.ckpt: none of its weights"):
        started(other, ("x",))


def test_a_run_starts_from_the_weights_and_needs_the_file_no_more(
    tiny: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(), ("circle", "x"), seed=5)
    trainer = config.Trainer(epochs=1, accelerator="cpu", precision="fp32", progress=False)
    folder = train(tiny(init=str(file), trainer=trainer, optim=config.SGDOptions(lr=1e-9, weight_decay=0.0)))
    said = capsys.readouterr().out
    assert f"init={file}: " in said
    assert "for 1 of 5 classes" in said
    assert f"init: {file}" in (folder / "config.yaml").read_text()
    average = random_weights(tiny(), 2, seed=6)
    name = "backbone.stages.0.0.convolution.weight"
    for kind in ("detector", "ema.module"):
        found = torch.load(folder / "last.ckpt", weights_only=True)["state_dict"][f"{kind}.{name}"]
        assert torch.allclose(found, average[name], atol=1e-6)
    file.unlink()
    from test_resume import resume

    (folder / "config.yaml").write_text((folder / "config.yaml").read_text().replace("epochs: 1\n", "epochs: 2\n"))
    resume(folder)
    assert open_checkpoint(folder / "last.ckpt").run.init == str(file)  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"init=.*a\.ckpt: no such file"):
        train(tiny(init=str(file), trainer=trainer))
