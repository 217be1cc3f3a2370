from __future__ import annotations

from pathlib import Path
from typing import Any

from detector import config
from detector.data.read import read_index
from detector.training.model_card import CardContent, model_card, write_model_card

TRAIN = read_index(config.Shapes(train_images=6, scene_size=64), "train")
VAL = read_index(config.Shapes(val_images=3, scene_size=64), "val")
METRICS: dict[str, Any] = {
    "AP": 0.4,
    "AP50": 0.6,
    "AP75": 0.5,
    "APs": 0.1,
    "APm": 0.5,
    "APl": 0.7,
    "AR100": 0.8,
    "per_class": {name: {"AP": 0.1 * n or None, "AP50": 0.2 * n or None} for n, name in enumerate(TRAIN.class_names)},
    "best_epoch": 3,
    "epochs": 4,
    "parameters": 1234,
    "train_seconds": 60.0,
    "images_per_second": 10.0,
}


def content(folder: Path, **changes: Any) -> CardContent:
    settings = config.Train(data=config.Shapes(), name="a|b <i>", image_size=96)
    analysis = {
        "ap_interval": {"low": 0.31, "high": 0.52, "resamples": 1000},
        "tide": {"counts": {"missed": 7}, "delta_ap": {"missed": 0.123}},
    }
    given = {"metrics": METRICS, "analysis": analysis} | changes
    return CardContent(settings, folder, "best.ckpt", TRAIN, VAL, device="training on cpu", **given)


def test_the_card_holds_figures_with_their_interval_the_data_and_how_to_load_it(tmp_path: Path) -> None:
    card = model_card(content(tmp_path))
    assert 'detector.load("best.ckpt")' in card
    assert "AP is 0.400, with a 95 % interval of 0.310 to 0.520" in card
    assert "| missed | object not found | 7 | 0.123 |" in card
    assert "epoch 3 of 4" in card
    for label, name in enumerate(TRAIN.class_names):
        counts = [int((index.labels == label).sum()) for index in (TRAIN, VAL)]
        assert f"| {name} | {counts[0]} | {counts[1]} |" in card
    assert f"nothing is known of them: {TRAIN.class_names[0]}." in card
    assert "worst at small ones" in card
    assert "| `image_size` | 96 | 640 |" in card


def test_names_are_shown_as_they_are(tmp_path: Path) -> None:
    assert model_card(content(tmp_path)).startswith("# a\\|b &lt;i>/")


def test_without_an_analysis_there_is_no_interval(tmp_path: Path) -> None:
    card = model_card(content(tmp_path, analysis=None))
    assert "AP is 0.400. The weights" in card
    assert "TIDE" not in card


def test_what_a_user_has_filled_in_stays_when_the_card_is_written_again(tmp_path: Path) -> None:
    path = write_model_card(content(tmp_path))
    text = path.read_text(encoding="utf-8")
    assert "- Licence of the weights:\n" in text
    path.write_text(text.replace("Licence of the weights:", "Licence of the weights: CC BY 4.0"), encoding="utf-8")
    write_model_card(content(tmp_path, metrics=METRICS | {"AP": 0.45}))
    again = path.read_text(encoding="utf-8")
    assert "AP is 0.450" in again
    assert again.partition("## To fill in")[2] == text.partition("## To fill in")[2].replace(
        "Licence of the weights:", "Licence of the weights: CC BY 4.0"
    )
