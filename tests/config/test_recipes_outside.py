"""The recipes of `docs/parts.md` for what comes from a file of one's own, followed as written, outside of the project."""

from __future__ import annotations

import csv
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from detector.heads.points import make_points
from detector.targets import Target, Targets

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "parts.md").read_text(encoding="utf-8")
QUICK = (
    "image_size=64",
    "trainer.epochs=1",
    "trainer.progress=false",
    "trainer.accelerator=cpu",
    "logger.tensorboard=false",
)
SCENES = ("data.train_images=8", "data.val_images=4", "data.scene_size=64", "data.batch_size=4")
SMALL = ("backbone.width=0.125", "neck.width=0.125")


def recipe(name: str) -> str:
    """The block of the page that begins with `# NAME.py`."""
    (text,) = re.findall(rf"^```python\n# {name}\.py\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(text)


def detector(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "detector", *words], cwd=folder, capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(*words: str) -> None:
    assert f"detector {' '.join(words)}" in PAGE, "the page shows another command"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "given"),
    [("nearest", ("assigner=nearest", "assigner.top=4")), ("square", ("loss=square", "loss.power=1.5"))],
)
def test_a_part_of_ones_own(tmp_path: Path, name: str, given: tuple[str, ...]) -> None:
    (tmp_path / f"{name}.py").write_text(recipe(name))
    shown("train", f'"plugins=[{name}.py]"', "experiment=shapes", *given)
    detector(tmp_path, "train", f"plugins=[{name}.py]", "experiment=shapes", *given, *SCENES, *QUICK, *SMALL)
    checkpoint = "checkpoint=runs/shapes/latest/best.ckpt"
    detector(tmp_path, "evaluate", checkpoint, f"plugins=[{name}.py]", "accelerator=cpu")


def test_the_assigner_of_the_page_takes_the_point_nearest_to_each_centre_once(tmp_path: Path) -> None:
    (tmp_path / "nearest.py").write_text(recipe("nearest"))
    spec = importlib.util.spec_from_file_location("nearest", tmp_path / "nearest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    points = make_points((64, 64), (8, 16, 32), torch.device("cpu"))
    boxes = [torch.tensor([[4.0, 10, 16, 16], [5.0, 10, 16, 16]]), torch.tensor([[40.0, 2, 60, 30]])]
    centres = [(one[:, :2] + one[:, 2:]) / 2 for one in boxes]
    nearest = [torch.cdist(one, points.centres).argmin(dim=1).tolist() for one in centres]
    assert nearest[0][0] == nearest[0][1], "two objects of the first image want one point"

    assigner = module.NearestAssigner(top=1)
    objects = Targets([target(one) for one in boxes]).objects
    candidates = assigner.candidates(points, objects)
    found = assigner(torch.zeros(2, 84, 3), torch.zeros(2, 84, 4), points, objects, candidates)
    taken = found.weights > 0
    assert sorted(found.points[taken].tolist()) == [nearest[0][0], 84 + nearest[1][0]]


def target(boxes: torch.Tensor) -> Target:
    nothing = torch.zeros(len(boxes))
    return Target(boxes, nothing.long(), nothing.bool(), nothing, 0, (64, 64), torch.eye(3))


@pytest.mark.slow
def test_a_data_format_of_ones_own(tmp_path: Path) -> None:
    import cv2
    import numpy as np

    (tmp_path / "table.py").write_text(recipe("table"))
    rows = ["file,x1,y1,x2,y2,class"]
    for i in range(8):
        picture = np.full((64, 64, 3), 30, dtype=np.uint8)
        picture[10 + i : 40 + i, 8:44] = (40, 40, 255)
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture)
        rows.append(f"{i}.png,8,{10 + i},44,{40 + i},{'red' if i % 2 else 'crimson'}")
    for split in ("train", "val"):
        (tmp_path / f"{split}.csv").write_text("\n".join(rows) + "\n")
    words = ("train", '"plugins=[table.py]"', "data=table", "data.root=.")
    shown(*words)
    said = detector(
        tmp_path, "train", "plugins=[table.py]", "data=table", "data.root=.", "data.batch_size=4", *QUICK, *SMALL
    )
    assert "8 training and 8 validation images, 2 classes (crimson, red)" in said
    checkpoint = "checkpoint=runs/default/latest/best.ckpt"
    again = detector(tmp_path, "evaluate", checkpoint, "plugins=[table.py]", "accelerator=cpu")
    assert "8 objects of 2 classes (crimson, red)" in again


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_an_augmentation_of_ones_own(tmp_path: Path, workers: int) -> None:
    (tmp_path / "stripes.py").write_text(recipe("stripes"))
    words = ("train", '"plugins=[stripes.py]"', "data=shapes", "augment=stripes", "augment.width=6")
    shown(*words)
    given = ("plugins=[stripes.py]", "data=shapes", "augment=stripes", "augment.width=6")
    detector(tmp_path, "train", *given, *SCENES, *QUICK, *SMALL, f"data.workers={workers}")
    import cv2
    import numpy as np

    picture = cv2.imread(str(tmp_path / "runs/default/latest/train_batch.png"))
    assert picture is not None
    striped = (np.abs(picture.astype(int) - 255).sum(axis=2) < 3).all(axis=0)
    assert not striped.all()
    plain = tmp_path / "plain"
    plain.mkdir()
    detector(plain, "train", "data=shapes", "augment=none", *SCENES, *QUICK, *SMALL, "data.workers=0")
    other = cv2.imread(str(plain / "runs/default/latest/train_batch.png"))
    assert other is not None
    white = [(np.abs(one.astype(int) - 255).sum(axis=2) < 3).sum() for one in (picture, other)]
    assert white[0] > white[1] + 4 * 6 * 40, "no white stripes on the first training batch"


@pytest.mark.slow
def test_a_callback_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "stop_at.py").write_text(recipe("stop_at"))
    words = ("train", '"plugins=[stop_at.py]"', "data=shapes", "callbacks=stop_at", "callbacks.loss=1000")
    shown(*words)
    given = ("plugins=[stop_at.py]", "data=shapes", "callbacks=stop_at", "callbacks.loss=1000")
    quick = [one.replace("epochs=1", "epochs=3") for one in QUICK]
    said = detector(tmp_path, "train", *given, *SCENES, *quick, *SMALL)
    assert "epoch 1/3" in said
    assert "epoch 2/3" not in said
    assert (tmp_path / "runs/default/latest/stopped.txt").read_text().startswith("the loss is ")


@pytest.mark.slow
def test_a_logger_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "lines.py").write_text(recipe("lines"))
    words = ("train", '"plugins=[lines.py]"', "data=shapes", "logger=lines", "logger.file=numbers.txt")
    shown(*words)
    given = ("plugins=[lines.py]", "data=shapes", "logger=lines", "logger.file=numbers.txt")
    detector(tmp_path, "train", *given, *SCENES, *QUICK, *SMALL)
    run = tmp_path / "runs/default/latest"
    logged = (run / "numbers.txt").read_text().splitlines()
    with open(run / "metrics.csv", newline="") as opened:
        (ap,) = [row["val/AP"] for row in csv.DictReader(opened) if row.get("val/AP")]
    assert any(line.split()[1:] == ["val/AP", str(float(ap))] for line in logged)
    assert logged[0] == "run default"
