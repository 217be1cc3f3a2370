"""Every command that README and the guide show runs, in its shortest form, in the order in which a page shows it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from darknet_files import SMALL, SMALL_SHAPES, write_weights
from test_documents import ROOT, commands

pytestmark = pytest.mark.slow

PAGES = [
    "README.md",
    *(f"docs/{name}.md" for name in ("analysis", "data", "darknet", "experiments", "faq", "index", "inspect")),
] + [f"docs/{name}.md" for name in ("parts", "runs", "seminar")]
"""Not the pages of results, whose commands say how figures were reached."""
CLASSES = ("cell", "dot")
SHORT = {
    "trainer.epochs": "1",
    "trainer.evaluate_every": "1",
    "data.train_images": "8",
    "data.val_images": "4",
    "data.test_images": "4",
    "data.scene_size": "64",
    "data.batch_size": "2",
    "image_size": "64",
}
"""What a training is shortened to, besides what `shortest` does to other commands: two processes in place of four, at most
two seeds, small images to take apart, one anchor a level, few steps to find a rate and few repeats to measure speed."""
WITHOUT_INDUCTOR = """
import functools, torch
torch.compile = functools.partial(torch.compile, backend="eager")
from detector.cli.main import main
main()
"""
"""The command line where torch.compile traces as ever, and nothing writes and compiles C++ for minutes."""
CLASSIFIER = "".join(
    f"[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize=3\nstride=2\npad=1\nactivation=leaky\n"
    for filters in (4, 8, 8, 12, 16)
)


def picture(file: Path, number: int) -> list[int]:
    """Writes an image of 96 × 72 pixels with one bright rectangle, of a shape of its own; its box, xyxy."""
    image = np.full((72, 96, 3), 40, dtype=np.uint8)
    x, y, width, height = 5 + 7 * number, 8 + 3 * number, 24 + 2 * number, 34 - 2 * number
    image[y : y + height, x : x + width] = (200, 220, 90 + 20 * (number % 2))
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), image)
    return [x, y, x + width, y + height]


def write_voc(folder: Path) -> None:
    for split, numbers in {"train": range(4), "val": range(4, 6), "test": range(6, 8)}.items():
        lists = folder / "ImageSets/Main" / f"{split}.txt"
        lists.parent.mkdir(parents=True, exist_ok=True)
        lists.write_text("".join(f"im{number}\n" for number in numbers))
        for number in numbers:
            x1, y1, x2, y2 = picture(folder / "JPEGImages" / f"im{number}.jpg", number)
            xml = folder / "Annotations" / f"im{number}.xml"
            xml.parent.mkdir(exist_ok=True)
            xml.write_text(
                f"<annotation><size><width>96</width><height>72</height><depth>3</depth></size><object>"
                f"<name>{CLASSES[number % 2]}</name><bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax>"
                f"<ymax>{y2}</ymax></bndbox></object></annotation>"
            )


def write_yolo(folder: Path) -> None:
    for split, numbers in {"train": range(4), "val": range(4, 6)}.items():
        for number in numbers:
            x1, y1, x2, y2 = picture(folder / "images" / split / f"im{number}.jpg", number)
            label = folder / "labels" / split / f"im{number}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(
                f"{number % 2} {(x1 + x2) / 192:.6f} {(y1 + y2) / 144:.6f} {(x2 - x1) / 96:.6f} {(y2 - y1) / 72:.6f}\n"
            )
    (folder / "data.yaml").write_text(f"train: images/train\nval: images/val\nnames: {list(CLASSES)}\n")


def write_coco(folder: Path) -> None:
    for name, numbers in {"a": range(4), "b": range(4, 6)}.items():
        images, annotations = [], []
        for number in numbers:
            x1, y1, x2, y2 = picture(folder / "images" / f"im{number}.jpg", number)
            images.append({"id": number, "file_name": f"im{number}.jpg", "width": 96, "height": 72})
            box = [x1, y1, x2 - x1, y2 - y1]
            annotations.append(
                {"id": number + 1, "image_id": number, "category_id": 1 + number % 2, "bbox": box, "iscrowd": 0}
            )
        categories = [{"id": label, "name": class_name} for label, class_name in enumerate(CLASSES, 1)]
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / f"{name}.json").write_text(
            json.dumps({"images": images, "annotations": annotations, "categories": categories})
        )


def run(folder: Path, words: list[str]) -> None:
    compiles = any(word.startswith("trainer.compile=") for word in words)
    entry = ["-c", WITHOUT_INDUCTOR] if compiles else ["-m", "detector"]
    done = subprocess.run(
        [sys.executable, *entry, *words], cwd=folder, capture_output=True, text=True, timeout=1800, check=False
    )
    finds = any(word.startswith("fail_on=") for word in words)  # the images here are much alike, which it may say
    assert done.returncode in ((0, 1) if finds else (0,)), (
        f"{' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    )


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `here` with a first run, and data beside it as in the commands."""
    root = tmp_path_factory.mktemp("world")
    here = root / "here"
    write_voc(root / "shared/data/bccd")
    write_yolo(root / "shared/data/deeppcb")
    write_coco(root / "coco")
    (here / "docs").mkdir(parents=True)
    shutil.copy(ROOT / "docs/shapes_predictions.png", here / "docs")
    for number in range(2):
        picture(here / "street" / f"{number}.jpg", number)
    (here / "FILE.json").write_text(
        json.dumps([{"image_id": "im6", "category_id": 1, "bbox": [10, 10, 30, 30], "score": 0.5}])
    )
    (here / "FILE.cfg").write_text(SMALL)
    write_weights(here / "FILE.weights", SMALL_SHAPES)
    (here / "coco.names").write_text("".join(f"{name}\n" for name in CLASSES))
    (here / "darknet53.cfg").write_text("[net]\nwidth=64\nheight=64\nchannels=3\n" + CLASSIFIER)
    write_weights(
        here / "darknet53.weights",
        [(a, b, 3, True) for a, b in ((3, 4), (4, 8), (8, 8), (8, 12), (12, 16))],
    )
    run(here, shortest(["train", "experiment=shapes"]))
    return root


def shortest(words: list[str]) -> list[str]:
    """The command with the data of `world`, and with as little to do as its keys allow."""
    name, *arguments = words
    coco, keys = "data=coco" in arguments, {argument.split("=")[0] for argument in arguments}
    changed = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key == "backbone.pretrained" or value == "...":  # needs a download; stands for a file
            continue
        value = {
            "FOLDER": "../coco" if coco else "../shared/data/bccd",
            "IMAGE_FOLDER_OR_VIDEO": "street",
            "BEST.ckpt": "runs/shapes/latest/best.ckpt",
            "0,1,2": "0,1",
        }.get(value, value)
        changed.append(f"{key}={value}" if value else argument)
    if coco and "data.train" not in "".join(changed):
        changed += ["data.train=annotations/a.json", "data.val=annotations/b.json"]
    if "trainer.devices" in keys:
        changed = [one for one in changed if not one.startswith("trainer.devices")]
        changed += ["trainer.devices=2", "trainer.accelerator=cpu", "trainer.strategy=ddp"]
        changed = list(dict.fromkeys(changed))
    if "--help" in arguments or "resume" in keys:
        return [name, *changed]
    if name == "train":
        drawn = any(one in ("experiment=shapes", "data=shapes") for one in arguments)
        for key, value in SHORT.items():
            if drawn or key not in ("data.train_images", "data.val_images", "data.test_images", "data.scene_size"):
                changed = [one for one in changed if one.split("=")[0] != key]
                changed.append(f"{key}={value}")
    elif name == "inspect_model":
        changed = [one for one in changed if not one.startswith("image_size=")] + ["image_size=128"]
    elif name == "evaluate" and "detections" in keys and "split" not in keys:
        changed += ["split=test"]  # whose images FILE.json names
    elif name == "anchors":
        changed += ["per_level=1"]
    elif name == "find_lr":
        changed += ["data.train_images=16", "data.val_images=4", "steps=20"]
    elif name == "benchmark":
        changed = [one for one in changed if not one.startswith("repeats=")] + ["repeats=2", "image_size=64"]
    return [name, *changed]


def shown(page: str) -> Iterator[list[str]]:
    """The commands of a page, each once, but those of `tests/config/test_recipes_outside.py`."""
    seen = []
    for words in commands(ROOT / page):
        if not any("plugins=" in word for word in words) and words not in seen:
            seen.append(words)
            yield words


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_one_after_the_other(page: str, world: Path, tmp_path: Path) -> None:
    shutil.copytree(world, tmp_path / "world", symlinks=True)
    here = tmp_path / "world/here"
    each = list(shown(page))
    assert each, f"{page} shows no command"
    for words in each:
        run(here, shortest(words))
