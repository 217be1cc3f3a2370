from __future__ import annotations

import csv
import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detector import config
from detector.checkpoint import DIGEST, KEY
from detector.errors import UserError
from detector.training.checkpoint_files import WholeFiles
from detector.training.run_folder import read_config
from detector.training.train import train

Configure = Callable[..., config.Train]
IMAGES = 6


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on YOLO files, with their data beside it."""
    home = tmp_path_factory.mktemp("finished")
    _write_data(home / "data", ["dot", "cell"])
    settings = config.Train(
        data=config.Yolo(root=str(home / "data"), batch_size=2, workers=0),
        augment=config.Augment(name="none"),
        model=config.SingleShotOptions(),
        backbone=config.CSPDarknetOptions(width=0.125),
        neck=config.PANOptions(width=0.125),
        head=config.AnchorFreeHeadOptions(convolutions=0),
        assigner=config.TaskAlignedAssignerOptions(),
        loss=config.CriterionOptions(name="ciou"),
        optim=config.AdamWOptions(),
        trainer=config.Trainer(epochs=1, accelerator="cpu", precision="fp32", progress=False),
        logger=config.Csv(),
        image_size=64,
        runs=str(home / "runs"),
    )
    return train(settings)


@pytest.fixture
def stopped(finished: Path, tmp_path: Path) -> Path:
    """A copy of that run that has an epoch to go, and of its data."""
    shutil.copytree(finished.parents[2] / "data", tmp_path / "data")
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    file = folder / "config.yaml"
    text = file.read_text().replace(str(finished.parents[2] / "data"), str(tmp_path / "data"))
    file.write_text(text.replace("epochs: 1\n", "epochs: 2\n"))
    return folder


def _write_data(root: Path, names: list[str]) -> None:
    import cv2

    random = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for i in range(IMAGES):
        picture = random.integers(0, 255, (64, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(root / f"images/{i}.png"), picture)
        (root / f"labels/{i}.txt").write_text(f"{i % 2} 0.5 0.5 0.4 0.{i + 2}\n")
    _write_names(root, names)


def _write_names(root: Path, names: list[str]) -> None:
    (root / "data.yaml").write_text(f"train: images\nval: images\nnames: [{', '.join(names)}]\n")


def resume(folder: Path) -> Path:
    return train(dataclasses.replace(read_config(folder), resume=str(folder)))


def _edited(change: Callable[[dict[str, Any]], Any], keep_digest: bool = False) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        content = torch.load(folder / "last.ckpt", weights_only=True)
        change(content)
        if not keep_digest and isinstance(content.get(KEY), dict):
            content[KEY].pop(DIGEST, None)
        torch.save(content, folder / "last.ckpt")

    return edit


def _flip(folder: Path) -> None:
    data = bytearray((folder / "last.ckpt").read_bytes())
    data[len(data) // 2] ^= 4
    (folder / "last.ckpt").write_bytes(data)


def _replace(file: str, content: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / file).write_bytes(content)


def _in_yaml(old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        text = (folder / "config.yaml").read_text()
        assert old in text
        (folder / "config.yaml").write_text(text.replace(old, new, 1))

    return edit


def _not_finite(content: dict[str, Any]) -> None:
    content["state_dict"]["detector.head.class_branches.P3.0.bias"][0] = torch.nan


def _alias_bomb(folder: Path) -> None:
    with open(folder / "config.yaml", "a") as file:
        file.write("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n")


def _folder(folder: Path) -> None:
    (folder / "last.ckpt").unlink()
    (folder / "last.ckpt").mkdir()


def _loop(folder: Path) -> None:
    (folder / "last.ckpt").unlink()
    (folder / "last.ckpt").symlink_to("last.ckpt")


DAMAGED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "cut": (lambda f: (f / "last.ckpt").write_bytes((f / "last.ckpt").read_bytes()[:5000]), "is not a checkpoint"),
    "empty": (_replace("last.ckpt", b""), "is not a checkpoint"),
    "text": (_replace("last.ckpt", b"hello\n"), "is not a checkpoint"),
    "one bit": (_flip, "has changed since it was written"),
    "a folder": (_folder, "is a folder"),
    "a link to itself": (_loop, "no such file"),
    "weights only": (lambda f: shutil.copy(f / "best.ckpt", f / "last.ckpt"), "init="),
    "edited": (_edited(lambda c: c["state_dict"].popitem(), keep_digest=True), "has changed since it was written"),
    "nothing": (_edited(lambda c: c.clear()), "no entry 'detector'"),
    "no entry": (_edited(lambda c: c.pop(KEY)), "no entry 'detector'"),
    "no optimizer": (_edited(lambda c: c.pop("optimizer_states")), "optimizer_states"),
    "other optimizer": (_edited(lambda c: c["optimizer_states"].clear()), "cannot be taken up"),
    "no groups": (_edited(lambda c: c["optimizer_states"][0]["param_groups"].pop()), "cannot be taken up"),
    "loops of nothing": (_edited(lambda c: c["loops"].clear()), "cannot be taken up"),
    "no random state": (_edited(lambda c: c[KEY]["run"].pop("random_state")), "random_state"),
    "random state": (_edited(lambda c: c[KEY]["run"].update(random_state=torch.zeros(3))), "cannot be taken up"),
    "no weights": (_edited(lambda c: c.update(state_dict={})), "is missing"),
    "not finite": (_edited(_not_finite), "not finite"),
    "a weight of another shape": (_edited(lambda c: c["state_dict"].update(x=torch.zeros(2))), "x belongs to no part"),
    "another width": (_in_yaml("width: 0.125", "width: 0.25"), "instead of"),
    "yaml cut": (_replace("config.yaml", b"data:\n  name: yolo\n"), "must be given"),
    "yaml empty": (_replace("config.yaml", b""), "must be given"),
    "yaml a list": (_replace("config.yaml", b"[1, 2]\n"), "keys with values"),
    "yaml a text": (_replace("config.yaml", b"hello\n"), "hello: no such key"),
    "no yaml": (_replace("config.yaml", b"a: [1\nb: }\n"), "is no YAML"),
    "not UTF-8": (_replace("config.yaml", bytes(range(256))), "is not UTF-8"),
    "python": (lambda f: (f / "config.yaml").write_text("x: !!python/object/apply:os.system ['touch ran']\n"), "no YAML"),
    "unknown key": (_in_yaml("seed: 0", "sede: 0"), "sede: no such key"),
    "interpolation": (_in_yaml("seed: 0", "seed: ${oc.env:HOME}"), "seed=${oc.env:HOME}"),
    "text for a number": (_in_yaml("epochs: 2", "epochs: many"), "trainer.epochs=many"),
    "null": (_in_yaml("seed: 0", "seed: null"), "seed=null"),
    "aliases": (_alias_bomb, "references"),
    "metrics": (_replace("metrics.csv", bytes(range(256)) * 9), "metrics.csv"),
    "ragged metrics": (_replace("metrics.csv", b"epoch,step\n1\n"), "metrics.csv"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_run_ends_in_one_line_that_names_the_file(damage: str, stopped: Path) -> None:
    spoil, said = DAMAGED[damage]
    spoil(stopped)
    with pytest.raises(UserError) as caught:
        resume(stopped)
    assert str(stopped) in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_an_earlier_version_has_no_digest_and_goes_on(stopped: Path) -> None:
    def earlier(content: dict[str, Any]) -> None:
        del content[KEY]["run"]["training_images"]

    _edited(earlier)(stopped)
    resume(stopped)
    content = torch.load(stopped / "last.ckpt", weights_only=True)
    assert content["epoch"] == 1
    assert content[KEY][DIGEST]


def test_classes_in_another_order_go_on_as_before_and_ids_stay_the_data_s(stopped: Path, tmp_path: Path) -> None:
    _write_names(tmp_path / "data", ["cell", "dot"])
    for file in (tmp_path / "data/labels").iterdir():
        label, *box = file.read_text().split()
        file.write_text(" ".join([str(1 - int(label)), *box]))
    other = stopped.with_name("other")
    shutil.copytree(stopped, other)
    resume(other)
    after = torch.load(other / "last.ckpt", weights_only=True)
    assert after[KEY]["model"]["class_names"] == ["dot", "cell"]
    assert after[KEY]["model"]["category_ids"] == [1, 0]

    _write_data_again(tmp_path / "data")
    resume(stopped)
    same = torch.load(stopped / "last.ckpt", weights_only=True)
    assert all(torch.equal(value, after["state_dict"][name]) for name, value in same["state_dict"].items())
    assert same[KEY]["run"]["best"]["AP"] == after[KEY]["run"]["best"]["AP"]


def _write_data_again(root: Path) -> None:
    shutil.rmtree(root)
    _write_data(root, ["dot", "cell"])


def test_other_classes_are_refused(stopped: Path, tmp_path: Path) -> None:
    _write_names(tmp_path / "data", ["cell", "dot", "new"])
    with pytest.raises(UserError, match=r"trained on 2 classes \(dot, cell\); the data has 3 \(cell, dot, new\)"):
        resume(stopped)


@pytest.mark.parametrize(
    "change", ["removed", "folder", *(pytest.param(one, marks=pytest.mark.slow) for one in ("moved", "nothing"))]
)
def test_changed_training_images_are_said_in_one_line(
    change: str, stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    match change:
        case "removed":
            (data / "images/0.png").unlink()
        case "moved":
            (data / "labels/0.txt").write_text("0 0.4 0.5 0.4 0.2\n")
        case "folder":
            data.rename(tmp_path / "elsewhere")
            _in_yaml(str(data), str(tmp_path / "elsewhere"))(stopped)
    resume(stopped)
    said = [line for line in capsys.readouterr().err.splitlines() if "training images have changed" in line]
    assert len(said) == (change in ("removed", "moved"))
    if change == "removed":
        assert f"({IMAGES} → {IMAGES - 1})" in said[0]


def test_rows_logged_so_far_are_kept(stopped: Path) -> None:
    resume(stopped)
    with open(stopped / "metrics.csv", newline="") as opened:
        assert {row["epoch"] for row in csv.DictReader(opened)} - {""} == {"0", "1"}  # rates have no epoch


def test_every_file_that_is_written_carries_the_digest_of_its_content(tmp_path: Path) -> None:
    WholeFiles().save_checkpoint({KEY: {"config": {}}, "state_dict": {"a": torch.ones(3)}}, tmp_path / "a.ckpt")
    assert len(torch.load(tmp_path / "a.ckpt", weights_only=True)[KEY][DIGEST]) == 64
