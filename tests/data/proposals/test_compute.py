"""Proposals on disk: computed once, and never half."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
import torch
from full_disk import largest_file

from detector import config
from detector.data.index import AnnotatedObjects, Index, assemble
from detector.data.proposals import cache
from detector.data.proposals.compute import SplitProposals, open_proposals
from detector.data.read import read_index
from detector.errors import UserError
from detector.proposals.selective_search import SelectiveSearch

ROOT = Path(__file__).resolve().parents[3]
SEARCH = SelectiveSearch(side=64)


@pytest.fixture
def files(tmp_path: Path) -> Index:
    rng = np.random.default_rng(0)
    names = []
    for number in range(6):
        names.append(str(tmp_path / f"{number}.png"))
        small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        cv2.imwrite(names[-1], cv2.resize(small, (80, 60), interpolation=cv2.INTER_NEAREST))
    return assemble(["a"], [1], range(6), names, np.full((6, 2), (60, 80)), AnnotatedObjects([], [], [], [], where=str))


def kept(folder: Path) -> dict[str, np.ndarray]:
    return {file.name: np.load(file) for file in folder.rglob("*.npy") if not file.name.startswith(".")}


def test_what_is_kept_is_what_the_search_gives(files: Index, tmp_path: Path) -> None:
    proposals = open_proposals(files, SEARCH, str(tmp_path / "kept"), limit=9)
    assert len(kept(tmp_path / "kept")) == 6
    for i in range(6):
        expected = SEARCH(files.image(i))
        assert np.array_equal(proposals.found(i).boxes, expected)
        assert np.array_equal(proposals.boxes(i), expected[:9])
        assert proposals.found(i).seconds > 0


def test_nothing_is_searched_twice(files: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(tmp_path / "kept")
    open_proposals(files, SEARCH, folder)
    monkeypatch.setattr(SelectiveSearch, "__call__", None)
    again = open_proposals(files, SEARCH, folder)
    assert again.missing() == []
    os.rename(files.files[3], tmp_path / "m.png")
    files.files[3] = str(tmp_path / "m.png")
    assert open_proposals(files, SEARCH, folder).missing() == []  # the content counts, not the name


def test_a_search_leaves_the_random_numbers_of_a_training_alone(files: Index, tmp_path: Path) -> None:
    """Or its weights would depend on what the cache holds."""
    torch.manual_seed(0)
    untouched = torch.rand(3)
    torch.manual_seed(0)
    assert SplitProposals(files, SEARCH, tmp_path / "kept").missing()
    open_proposals(files, SEARCH, str(tmp_path / "kept"))
    assert torch.equal(torch.rand(3), untouched)


def test_other_content_or_settings_or_version_are_other_files(
    files: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "kept"
    first = SplitProposals(files, SEARCH, folder)
    for other in (SelectiveSearch("quality", side=64), SelectiveSearch(side=65), SelectiveSearch(side=64, min_side=6)):
        assert not set(first._keys) & set(SplitProposals(files, other, folder)._keys)
    monkeypatch.setattr(cache, "VERSION", cache.VERSION + 1)
    assert not set(first._keys) & set(SplitProposals(files, SEARCH, folder)._keys)
    monkeypatch.undo()
    cv2.imwrite(str(files.files[2]), np.zeros((60, 80, 3), dtype=np.uint8))
    changed = SplitProposals(files, SEARCH, folder)._keys != first._keys
    assert changed.tolist() == [False, False, True, False, False, False]


@pytest.mark.parametrize("damage", ["cut in its boxes", "cut before the seconds", "empty", "no array"])
def test_a_damaged_file_is_computed_again(files: Index, tmp_path: Path, damage: str) -> None:
    proposals = open_proposals(files, SEARCH, str(tmp_path / "kept"))
    expected = proposals.boxes(1)
    file = proposals._file(1)
    content = file.read_bytes()
    ends = {"cut in its boxes": 200, "cut before the seconds": content.rfind(b"\x93NUMPY"), "empty": 0}
    file.write_bytes(b"no array at all" if damage == "no array" else content[: ends[damage]])
    assert proposals.missing() == [1]
    assert np.array_equal(proposals.boxes(1), expected)  # also where it happens while a training goes on
    assert proposals.missing() == []
    assert len(file.read_bytes()) == len(content)


def test_drawn_scenes_are_kept_too(tmp_path: Path) -> None:
    index = read_index(config.Shapes(scene_size=64, train_images=5, val_images=1), "train")
    proposals = open_proposals(index, SEARCH, str(tmp_path))
    assert np.array_equal(proposals.boxes(4), SEARCH(index.image(4)))
    assert len(kept(tmp_path)) == 5


def test_a_missing_image_is_named(files: Index, tmp_path: Path) -> None:
    Path(files.files[4]).unlink()
    with pytest.raises(UserError, match=r"4\.png is missing"):
        open_proposals(files, SEARCH, str(tmp_path / "kept"))


def test_a_full_disk_leaves_no_half_file_and_is_said(tmp_path: Path) -> None:
    boxes = np.zeros((1000, 4), dtype=np.float32)
    with largest_file(8_000), pytest.raises(UserError, match=r"b\.npy: cannot be written: .*data\.proposals=FOLDER"):
        cache.write(tmp_path / "a" / "b.npy", cache.Found(boxes, 1.0))
    assert list((tmp_path / "a").iterdir()) == []


def test_a_folder_that_cannot_be_is_said_also_from_a_loader_process(files: Index, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written: Not a directory"):
        open_proposals(files, SEARCH, str(tmp_path / "file"))


def start(folder: Path) -> subprocess.Popen[str]:
    overrides = [
        "data=shapes", "data.train_images=60", "data.val_images=2", "data.test_images=0", "data.scene_size=160",
        "search_side=160", f"data.proposals={folder}",
    ]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "proposals.py"), *overrides],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on_with_what_is_whole(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    with start(whole) as undisturbed:
        said, _ = undisturbed.communicate(timeout=1800)
    assert undisturbed.returncode == 0, said

    with start(killed) as process:
        while len(list(killed.rglob("*.npy"))) < 10:
            assert process.poll() is None
            time.sleep(0.005)
        loaders = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        for loader in loaders:
            if loader.is_running():
                loader.kill()
    before = kept(killed)  # np.load raises on a file that is cut
    assert 10 <= len(before) < 62
    states = {file: file.stat().st_mtime_ns for file in killed.rglob("*.npy") if not file.name.startswith(".")}

    with start(killed) as again:
        said, _ = again.communicate(timeout=1800)
    assert again.returncode == 0, said
    assert f"proposals of {60 - len(before)} images" in said
    assert all(file.stat().st_mtime_ns == state for file, state in states.items())
    expected, found = kept(whole), kept(killed)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
