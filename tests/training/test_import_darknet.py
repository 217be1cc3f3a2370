from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from darknet_files import FIVE, FIVE_SHAPES, write_weights

from detector import config, load
from detector.data.formats.shapes import CLASS_NAMES
from detector.errors import UserError
from detector.evaluation.run import run
from detector.models.darknet import darknet
from detector.training.import_darknet import import_darknet

SHAPES = config.Shapes(scene_size=64, train_images=4, val_images=4, batch_size=4, workers=0)


@pytest.fixture
def given(tmp_path: Path) -> config.ImportDarknet:
    (tmp_path / "five.cfg").write_text(FIVE)
    write_weights(tmp_path / "five.weights", FIVE_SHAPES)
    (tmp_path / "five.names").write_text("\n".join(CLASS_NAMES) + "\n\n")
    model = config.DarknetOptions(cfg=str(tmp_path / "five.cfg"), weights=str(tmp_path / "five.weights"))
    return config.ImportDarknet(model=model, names=str(tmp_path / "five.names"), output=str(tmp_path / "imported"))


def test_the_checkpoint_is_evaluated_and_predicts_without_the_files(
    given: config.ImportDarknet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, _ = darknet(given.model.cfg, 5, weights=given.model.weights)
    file = import_darknet(given)
    said = capsys.readouterr().out
    assert f"weights: {given.model.weights}: all layers" in said
    assert "stretched to 64×64" in said
    for path in (given.model.cfg, given.model.weights, given.names):
        Path(str(path)).unlink()

    predictor = load(file, accelerator="cpu")
    assert predictor.class_names == CLASS_NAMES
    assert predictor.image_size == 64
    weights = {name: value for name, value in predictor.checkpoint.weights.items() if name.startswith("backbone.")}
    assert all(torch.equal(value, weights[f"backbone.{name}"]) for name, value in network.state_dict().items())

    evaluate = config.Evaluate(checkpoint=str(file), output=str(tmp_path / "evaluated"), accelerator="cpu")
    with pytest.raises(UserError, match=r"data=\.\.\. must be given"):
        run(evaluate)
    metrics = run(replace(evaluate, data=SHAPES))
    assert metrics["images"] == 4
    assert metrics["image_size"] == 64


def test_names_and_ids_can_come_from_data_which_evaluation_then_uses(
    given: config.ImportDarknet, tmp_path: Path
) -> None:
    file = import_darknet(replace(given, names=None, data=SHAPES))
    assert load(file, accelerator="cpu").class_names == CLASS_NAMES
    metrics = run(config.Evaluate(checkpoint=str(file), output=str(tmp_path / "evaluated"), accelerator="cpu"))
    assert metrics["images"] == 4


@pytest.mark.parametrize(
    ("changes", "model", "said"),
    [
        ({}, {"weights": None}, r"model\.weights=FILE must be given"),
        ({}, {"weights": "five.conv.3"}, r"holds only the first layers"),
        ({"names": None}, {}, r"names, data: exactly one"),
        ({"data": SHAPES}, {}, r"names, data: exactly one"),
        ({"names": "nothing.names"}, {}, r"names=nothing\.names: no such file"),
        ({"image_size": 100}, {}, r"image_size=100 is not a multiple of 32"),
    ],
)
def test_what_cannot_be_imported_is_answered_with_the_key(
    given: config.ImportDarknet, changes: dict[str, object], model: dict[str, str | None], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        import_darknet(replace(given, **changes, model=replace(given.model, **model)))  # type: ignore[arg-type]
    assert not Path(str(given.output)).exists()


def test_other_names_than_the_network_predicts_are_refused(given: config.ImportDarknet, tmp_path: Path) -> None:
    (tmp_path / "six.names").write_text("\n".join([*CLASS_NAMES, "one more"]))
    with pytest.raises(UserError, match=r"six\.names: 6 classes; .*five\.cfg predicts 5"):
        import_darknet(replace(given, names=str(tmp_path / "six.names")))
    (tmp_path / "twice.names").write_text("\n".join([*CLASS_NAMES[:4], CLASS_NAMES[0]]))
    with pytest.raises(UserError, match=r"is in it twice"):
        import_darknet(replace(given, names=str(tmp_path / "twice.names")))


def test_a_network_for_images_that_are_no_squares_needs_a_size(
    given: config.ImportDarknet, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(given.model.cfg).write_text(FIVE.replace("width=64", "width=96"))
    with pytest.raises(UserError, match=r"image_size=\.\.\. must be given: .*five\.cfg is made for 96×64"):
        import_darknet(given)
    assert load(import_darknet(replace(given, image_size=96)), accelerator="cpu").image_size == 96
    assert "five.cfg was made for 96×64, and images here are square" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "expected"), [("", "stretch"), ("letter_box=0", "stretch"), ("letter_box=1", "letterbox")]
)
def test_images_are_stretched_unless_the_cfg_says_letter_box(
    given: config.ImportDarknet, line: str, expected: str
) -> None:
    Path(given.model.cfg).write_text(FIVE.replace("channels=3", f"channels=3\n{line}", 1))
    predictor = load(import_darknet(given), accelerator="cpu")
    assert predictor.resize == expected
    wide = np.full((32, 64, 3), 255, dtype=np.uint8)
    (seen,) = predictor.preprocess([wide]).images
    assert (seen == 255).all().item() == (expected == "stretch")


def test_a_choice_of_the_user_goes_before_the_cfg(given: config.ImportDarknet) -> None:
    given = replace(given, model=replace(given.model, resize="letterbox"))
    assert load(import_darknet(given), accelerator="cpu").resize == "letterbox"


OLDER = ("aeroplane", "diningtable", "motorbike", "pottedplant", "sofa", "tvmonitor")
COCO = ("airplane", "dining table", "motorcycle", "potted plant", "couch", "tv")


@pytest.mark.parametrize(("count", "renamed"), [(80, True), (20, False)], ids=["COCO", "Pascal VOC"])
def test_classes_of_darknets_coco_names_are_called_as_in_coco(
    given: config.ImportDarknet, tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int, renamed: bool
) -> None:
    others = [f"thing {i}" for i in range(count - len(OLDER))]
    (tmp_path / "some.names").write_text("\n".join([*OLDER, *others]))
    filters = 5 + count
    text = FIVE.replace("classes=5", f"classes={count}").replace("filters=20", f"filters={2 * filters}")
    Path(given.model.cfg).write_text(text.replace("filters=10", f"filters={filters}"))
    write_weights(tmp_path / "five.weights", [*FIVE_SHAPES[:2], (12, 2 * filters, 1, False), (20, filters, 1, False)])
    names = load(import_darknet(replace(given, names=str(tmp_path / "some.names"))), accelerator="cpu").class_names
    assert names == ((*COCO, *others) if renamed else (*OLDER, *others))
    assert ("sofa as couch" in capsys.readouterr().out) == renamed
