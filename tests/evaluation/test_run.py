from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from PIL import Image
from pycocotools_by_hand import by_hand
from saved_checkpoint import save_checkpoint
from torchvision.ops import box_convert, box_iou

import detector
from detector import config
from detector.checkpoint import build
from detector.data.formats.shapes import CLASS_NAMES
from detector.data.index import Index
from detector.data.module import DetectionData
from detector.data.read import read_index
from detector.errors import UserError
from detector.evaluation import coco
from detector.evaluation.coco import METRICS
from detector.evaluation.results import write_results
from detector.evaluation.run import run
from detector.training.module import DetectionModule
from detector.training.train import train
from detector.types import Detections

Configure = Callable[..., config.Train]
SHAPES = config.Shapes(scene_size=96, train_images=4, val_images=6, test_images=3, batch_size=4, workers=0)


def _write_truth(file: Path, index: Index) -> None:
    """Every object as a detection of score 1."""
    results: list[dict[str, Any]] = []
    for target in map(index.target, range(len(index))):
        found = Detections(target.boxes, torch.ones(len(target.labels)), target.labels)
        results += found.to_coco(target.image_id, index.category_ids)
    write_results(file, results)


def _write_voc(root: Path, split: str, images: dict[str, Sequence[str]], pictures: bool = False) -> None:
    """Images of 60 x 40 pixels with an object of each class named."""
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, classes in images.items():
        objects = "".join(
            f"<object><name>{of}</name><bndbox><xmin>{5 + 9 * i}</xmin><ymin>4</ymin><xmax>{12 + 9 * i}</xmax>"
            "<ymax>20</ymax></bndbox></object>"
            for i, of in enumerate(classes)
        )
        size = "<size><width>60</width><height>40</height><depth>3</depth></size>"
        (root / "Annotations" / f"{name}.xml").write_text(f"<annotation>{size}{objects}</annotation>")
        if pictures:
            Image.effect_mandelbrot((60, 40), (-2, -1, 1, 1), 50).convert("RGB").save(root / f"JPEGImages/{name}.jpg")
    (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(images))


# ----------------------------------------------------------------------------------------------------- stored detections
def test_ground_truth_as_detections_scores_1(tmp_path: Path) -> None:
    _write_truth(tmp_path / "truth.json", read_index(SHAPES, "test"))
    metrics = run(
        config.Evaluate(
            data=SHAPES, detections=str(tmp_path / "truth.json"), split="test", output=str(tmp_path / "out")
        )
    )
    assert metrics["AP"] == pytest.approx(1)
    assert metrics["voc"]["AP50_area"] == 1.0
    assert (metrics["split"], metrics["images"]) == ("test", 3)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == metrics


def test_stored_detections_are_scored_without_what_trains_and_runs_a_network(tmp_path: Path) -> None:
    _write_truth(tmp_path / "truth.json", read_index(SHAPES, "test"))
    script = Path(detector.__file__).parent.parent / "scripts" / "evaluate.py"
    program = (
        f"import runpy, sys; runpy.run_path({str(script)!r}, run_name='__main__')\n"
        "print(sorted({'lightning', 'torchvision', 'torch._dynamo', 'scipy', 'matplotlib'} & sys.modules.keys()))"
    )
    arguments = ["data=shapes", "data.scene_size=96", "data.test_images=3", "data.val_images=6", "data.train_images=4"]
    files = [f"detections={tmp_path / 'truth.json'}", f"output={tmp_path / 'out'}", "split=test"]
    command = [sys.executable, "-c", program, *arguments, *files]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "[]"


def test_a_checkpoint_is_measured_without_what_trains_it() -> None:
    program = (
        "import sys, detector.evaluation.evaluate_detector\n"
        "print(sorted({'lightning', 'torchvision', 'torch._dynamo', 'scipy'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"


def test_nothing_is_taken_apart_where_no_report_is_wanted(tmp_path: Path) -> None:
    _write_truth(tmp_path / "truth.json", read_index(SHAPES, "test"))
    for report in (False, True):
        evaluation, out = config.Evaluation(report=report), str(tmp_path / str(report))
        metrics = run(
            config.Evaluate(
                SHAPES, detections=str(tmp_path / "truth.json"), split="test", output=out, evaluation=evaluation
            )
        )
        assert metrics["AP"] == pytest.approx(1)
        assert (tmp_path / str(report) / "analysis.json").is_file() == report


def test_the_engine_is_the_one_of_the_options(tmp_path: Path, tiny: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []
    reference = coco.COCOeval

    def counted(*given: Any, **named: Any) -> Any:
        ran.append(1)
        return reference(*given, **named)

    monkeypatch.setattr(coco, "COCOeval", counted)
    _write_truth(tmp_path / "truth.json", read_index(SHAPES, "test"))
    found = {}
    for engine in ("ultrafast", "pycocotools"):
        evaluation, file = config.Evaluation(engine=engine), str(tmp_path / "truth.json")
        out = str(tmp_path / engine)
        found[engine] = run(config.Evaluate(SHAPES, detections=file, split="test", output=out, evaluation=evaluation))
        assert len(ran) == (2 if engine == "pycocotools" else 0)  # for the numbers and for the matches
    assert found["ultrafast"] == found["pycocotools"]
    trainer = config.Trainer(epochs=1, accelerator="cpu", precision="fp32", progress=False)
    train(tiny(trainer=trainer, evaluation=config.Evaluation(engine="pycocotools")))
    assert len(ran) == 4


def test_stored_detections_are_scored_without_images_in_the_label_space_of_the_training_split(tmp_path: Path) -> None:
    """VOC has no list of classes, and this val split lacks the first one: its own labels would be shifted by one."""
    root = tmp_path / "voc"
    _write_voc(root, "train", {"1": ["apple", "bear", "cat"]})
    _write_voc(root, "val", {"2": ["bear", "cat"], "3": ["cat"]})
    data = config.Voc(root=str(root))
    _write_truth(tmp_path / "truth.json", read_index(data, "val", ("apple", "bear", "cat")))
    metrics = run(config.Evaluate(data, detections=str(tmp_path / "truth.json"), output=str(tmp_path / "out")))
    assert metrics["AP"] == pytest.approx(1)
    assert metrics["per_class"]["apple"] == {"AP": None, "AP50": None}
    assert metrics["category_ids"] == {"apple": 1, "bear": 2, "cat": 3}


def test_voc_without_its_folder_of_images_and_coco_without_images_are_scored_and_yolo_asks_for_them(
    tmp_path: Path,
) -> None:
    root = tmp_path / "voc"
    _write_voc(root, "val", {"2": ["bear", "cat"]})
    (root / "JPEGImages").rmdir()
    voc = config.Voc(root=str(root))
    _write_truth(tmp_path / "voc.json", read_index(voc, "val"))
    metrics = run(config.Evaluate(voc, detections=str(tmp_path / "voc.json"), output=str(tmp_path / "out")))
    assert metrics["voc"]["per_class"]["bear"]["AP50_area"] == 1

    content = {
        "images": [{"id": 5, "file_name": "nowhere/5.jpg", "height": 40, "width": 60}],
        "categories": [{"id": 3, "name": "bear"}],
        "annotations": [{"id": 1, "image_id": 5, "category_id": 3, "bbox": [4, 3, 20, 30], "area": 600, "iscrowd": 0}],
    }
    (tmp_path / "val.json").write_text(json.dumps(content))
    coco = config.Coco(root=str(tmp_path), val="val.json")
    write_results(tmp_path / "coco.json", [{"image_id": 5, "category_id": 3, "bbox": [4, 3, 20, 30], "score": 1}])
    metrics = run(config.Evaluate(coco, detections=str(tmp_path / "coco.json"), output=str(tmp_path / "coco")))
    assert metrics["per_class"]["bear"]["AP50"] == pytest.approx(1)

    (tmp_path / "data.yaml").write_text("names: [bear]\nval: images\n")
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError) as caught:
        run(config.Evaluate(config.Yolo(root=str(tmp_path)), detections=str(tmp_path / "coco.json")))
    assert "\n" not in str(caught.value)


def test_a_split_without_a_training_split_has_its_own_label_space(tmp_path: Path) -> None:
    root = tmp_path / "voc"
    _write_voc(root, "val", {"2": ["bear", "cat"]})
    data = config.Voc(root=str(root))
    _write_truth(tmp_path / "truth.json", read_index(data, "val"))
    metrics = run(config.Evaluate(data, detections=str(tmp_path / "truth.json"), output=str(tmp_path / "out")))
    assert metrics["AP"] == pytest.approx(1)
    assert metrics["category_ids"] == {"bear": 1, "cat": 2}


# ---------------------------------------------------------------------------------------------------------- checkpoints
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_checkpoint_scores_exactly_what_its_training_measures(
    precision: str, tiny: Configure, tmp_path: Path
) -> None:
    train = tiny(data=SHAPES)
    file = save_checkpoint(tmp_path / "a.ckpt", train, CLASS_NAMES)
    metrics = run(config.Evaluate(checkpoint=str(file), output=str(tmp_path / "out"), accelerator="cpu"))
    assert metrics["AP"] > 0, "the test shows nothing"

    data = DetectionData.read(train.data, train.augment, train.image_size)
    module = DetectionModule.of_run(train, build(train, len(CLASS_NAMES)))
    module.load_state_dict(torch.load(file, weights_only=True)["state_dict"], strict=False)  # but EMA's counter
    quiet = {"precision": precision, "logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    lightning.Trainer(accelerator="cpu", **quiet).validate(module, data, verbose=False)  # type: ignore[arg-type]
    assert {name: metrics[name] for name in module.metrics} == module.metrics


def test_a_checkpoint_is_measured_on_its_own_data_and_leaves_everything_in_a_new_folder(
    tiny: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(data=SHAPES), CLASS_NAMES)
    monkeypatch.chdir(tmp_path)
    metrics = run(config.Evaluate(checkpoint=str(file), accelerator="cpu"))
    (folder,) = (path for path in Path("runs/evaluate").iterdir() if not path.is_symlink())
    assert {path.name for path in folder.iterdir()} == {
        "metrics.json",
        "detections.json",
        "predictions.png",
        "analysis.json",
        "report.html",
    }
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert (metrics["images"], metrics["image_size"]) == (6, 96)
    with Image.open(folder / "predictions.png") as picture:
        assert picture.width > 4 * 96
    printed = capsys.readouterr().out
    assert "VOC50" in printed
    assert str(folder) in printed


def test_written_detections_score_the_same_again(tiny: Configure, tmp_path: Path) -> None:
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(data=SHAPES), CLASS_NAMES)
    first = run(config.Evaluate(checkpoint=str(file), output=str(tmp_path / "one"), accelerator="cpu"))
    stored = str(tmp_path / "one" / "detections.json")
    second = run(config.Evaluate(SHAPES, detections=stored, output=str(tmp_path / "two")))
    assert first["AR100"] > 0, "the test shows nothing"
    for name in ("AP", "AP50", "AR100", "per_class", "voc", "category_ids"):
        assert first[name] == second[name]


def test_pycocotools_by_hand_finds_in_the_written_detections_what_was_printed(tiny: Configure, tmp_path: Path) -> None:
    index = read_index(SHAPES, "val")
    kept = index.annotations
    content = {
        "images": [{"id": index.image_id(i)} for i in range(len(index))],
        "categories": [{"id": i} for i in index.category_ids],
        "annotations": [
            {
                "id": n + 1,
                "image_id": index.image_id(kept.owners[n]),
                "category_id": index.category_ids[kept.labels[n]],
                "bbox": kept.boxes[n].tolist(),
                "area": float(kept.area[n]),
                "iscrowd": int(kept.crowd[n]),
            }
            for n in range(len(kept))
        ],
    }
    (tmp_path / "val.json").write_text(json.dumps(content))
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(data=SHAPES), CLASS_NAMES)
    metrics = run(config.Evaluate(checkpoint=str(file), output=str(tmp_path / "out"), accelerator="cpu"))
    twelve, per_category = by_hand(tmp_path / "val.json", tmp_path / "out" / "detections.json")
    assert twelve[0] > 0, "the test shows nothing"
    assert [metrics[name] if metrics[name] is not None else -1 for name in METRICS] == twelve
    for name, category in zip(index.class_names, index.category_ids, strict=True):
        assert tuple(metrics["per_class"][name].values()) == (per_category[category] or (None, None))


def test_averaged_weights_are_measured(tiny: Configure, tmp_path: Path) -> None:
    def detections(seed: int, averaged: bool) -> str:
        name = f"{seed}{averaged}"
        file = save_checkpoint(tmp_path / f"{name}.ckpt", tiny(data=SHAPES), CLASS_NAMES, seed, averaged)
        run(config.Evaluate(checkpoint=str(file), output=str(tmp_path / name), accelerator="cpu"))
        return (tmp_path / name / "detections.json").read_text()

    measured = detections(seed=0, averaged=True)
    assert measured == detections(seed=1, averaged=False)
    assert measured != detections(seed=0, averaged=False)


def test_another_image_size_is_used(tiny: Configure, tmp_path: Path) -> None:
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(data=SHAPES), CLASS_NAMES)
    metrics = [
        run(config.Evaluate(checkpoint=str(file), image_size=size, output=str(tmp_path / f"{size}"), accelerator="cpu"))
        for size in (None, 96, 128)
    ]
    assert [each["image_size"] for each in metrics] == [96, 96, 128]
    stored = [(tmp_path / f"{size}" / "detections.json").read_text() for size in (None, 96, 128)]
    assert stored[0] == stored[1] != stored[2]


def test_labels_follow_the_checkpoints_class_names_and_ids_the_data(tiny: Configure, tmp_path: Path) -> None:
    """The checkpoint was trained on zebra, ant; the json lists ant as 3 and zebra as 70."""
    Image.effect_mandelbrot((60, 40), (-2, -1, 1, 1), 50).convert("RGB").save(tmp_path / "a.jpg")
    content = {
        "images": [{"id": 17, "file_name": "a.jpg", "width": 60, "height": 40}],
        "categories": [{"id": 3, "name": "ant"}, {"id": 70, "name": "zebra"}],
        "annotations": [{"id": 1, "image_id": 17, "category_id": 3, "bbox": [1, 2, 30, 20], "area": 600, "iscrowd": 0}],
    }
    (tmp_path / "val.json").write_text(json.dumps(content))
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(), ("zebra", "ant"))
    data = config.Coco(root=str(tmp_path), val="val.json", workers=0)
    metrics = run(config.Evaluate(data, checkpoint=str(file), output=str(tmp_path / "out"), accelerator="cpu"))
    assert metrics["category_ids"] == {"zebra": 70, "ant": 3}
    found = detector.load(file, accelerator="cpu", precision="fp32").predict(tmp_path / "a.jpg", score=0)
    stored = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [entry["category_id"] for entry in stored] == [(70, 3)[label] for label in found.labels]
    assert {entry["category_id"] for entry in stored} == {3, 70}
    assert {entry["image_id"] for entry in stored} == {17}
    assert stored[0]["score"] == pytest.approx(float(found.scores[0]), abs=1e-6)


def test_a_voc_split_that_lacks_a_class_keeps_the_checkpoints_label_space(tiny: Configure, tmp_path: Path) -> None:
    root = tmp_path / "voc"
    _write_voc(root, "test", {"2": ["bear", "cat"], "3": ["cat"]}, pictures=True)
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(), ("apple", "bear", "cat"))
    data = config.Voc(root=str(root), workers=0)
    metrics = run(
        config.Evaluate(data, checkpoint=str(file), split="test", output=str(tmp_path / "out"), accelerator="cpu")
    )
    assert list(metrics["per_class"]) == ["apple", "bear", "cat"]
    assert metrics["per_class"]["apple"]["AP"] is None
    assert metrics["per_class"]["cat"]["AP"] is not None


# -------------------------------------------------------------------------------------------------------------- mistakes
def _refusal(given: config.Evaluate) -> str:
    with pytest.raises(UserError) as caught:
        run(given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_data_with_other_classes_is_refused_and_both_lists_are_named(tiny: Configure, tmp_path: Path) -> None:
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(), ("apple", "bear"))
    message = _refusal(config.Evaluate(SHAPES, checkpoint=str(file), output=str(tmp_path / "out")))
    assert "2 classes (apple, bear)" in message
    assert "5 classes (circle, square, triangle, star, cross)" in message
    _write_voc(tmp_path / "voc", "val", {"2": ["bear", "dog"]})
    message = _refusal(config.Evaluate(config.Voc(root=str(tmp_path / "voc")), checkpoint=str(file)))
    assert "2 classes (apple, bear)" in message
    assert "2 classes (bear, dog)" in message
    assert not (tmp_path / "out").exists()


def test_another_suppression_is_used(tiny: Configure, tmp_path: Path) -> None:
    """Of no two boxes left does the IoU exceed the threshold, but for those at the border, which were clipped since."""
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(data=SHAPES), CLASS_NAMES)

    def overlaps(name: str, **options: Any) -> tuple[float, float]:
        """The largest IoU within a class, and between classes."""
        run(config.Evaluate(checkpoint=str(file), output=str(tmp_path / name), accelerator="cpu", **options))
        results = json.loads((tmp_path / name / "detections.json").read_text())
        boxes = box_convert(torch.tensor([each["bbox"] for each in results]), "xywh", "xyxy")
        inside = (boxes[:, :2] > 0).all(1) & (boxes[:, 2:] < SHAPES.scene_size).all(1)
        images = torch.tensor([each["image_id"] for each in results])
        labels = torch.tensor([each["category_id"] for each in results])
        pairs = inside & inside[:, None] & (images == images[:, None])
        iou = box_iou(boxes, boxes).fill_diagonal_(0) * pairs
        same = labels == labels[:, None]
        return iou[same].max().item(), iou[~same].max().item()

    own, strict = overlaps("own"), overlaps("strict", iou_threshold=0.2)
    assert 0.2 < own[0] <= 0.65
    assert strict[0] <= 0.2 < strict[1]
    assert max(overlaps("agnostic", suppression="class_agnostic", iou_threshold=0.2)) <= 0.2


def test_data_that_is_not_there_is_not_taken_for_other_classes(tiny: Configure, tmp_path: Path) -> None:
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(), ("apple", "bear"))
    message = _refusal(config.Evaluate(config.Voc(root=str(tmp_path / "nowhere")), checkpoint=str(file)))
    assert "nowhere" in message
    assert "classes" not in message


def test_exactly_one_of_checkpoint_and_detections_must_be_given(tmp_path: Path) -> None:
    assert "exactly one" in _refusal(config.Evaluate(SHAPES))
    assert "exactly one" in _refusal(config.Evaluate(SHAPES, checkpoint="a.ckpt", detections="a.json"))


def test_options_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    _write_truth(tmp_path / "truth.json", read_index(SHAPES, "val"))
    stored = str(tmp_path / "truth.json")
    assert "data must be given" in _refusal(config.Evaluate(detections=stored))
    assert "image_size" in _refusal(config.Evaluate(SHAPES, detections=stored, image_size=96))
    assert "suppression" in _refusal(config.Evaluate(SHAPES, detections=stored, suppression="soft"))
    assert "train, val, test" in _refusal(config.Evaluate(SHAPES, detections=stored, split="training"))


def test_an_output_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    _write_truth(tmp_path / "truth.json", read_index(SHAPES, "val"))
    given = config.Evaluate(SHAPES, detections=str(tmp_path / "truth.json"), output=str(tmp_path))
    assert "exists already" in _refusal(given)
    assert [path.name for path in tmp_path.iterdir()] == ["truth.json"]


def test_a_cache_changes_no_number(tiny: Configure, tmp_path: Path) -> None:
    train = tiny(data=config.Shapes(**{**SHAPES.__dict__, "cache": "ram"}))
    file = save_checkpoint(tmp_path / "a.ckpt", train, CLASS_NAMES)
    metrics = run(config.Evaluate(checkpoint=str(file), output=str(tmp_path / "out"), accelerator="cpu"))
    cached = run(config.Evaluate(train.data, checkpoint=str(file), output=str(tmp_path / "cached"), accelerator="cpu"))
    assert {**metrics, "images_per_second": 0} == {**cached, "images_per_second": 0}
