import os
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from painted_scenes import painted_index

from detector.data import cache
from detector.data.images.loading import load_image
from detector.data.index import AnnotatedObjects, Index, assemble
from detector.errors import UserError


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    names, sizes = [], []
    for number in range(7):
        height, width = rng.integers(30, 150, 2).tolist()
        names.append(str(tmp_path / f"{number}.png"))
        sizes.append((height, width))
        cv2.imwrite(names[-1], rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    return assemble(["a"], [1], list(range(7)), names, np.array(sizes), AnnotatedObjects([], [], [], [], where=str))


@pytest.mark.parametrize("kind", ["none", "ram", "disk"])
def test_images_come_out_of_a_cache_as_they_are_loaded(files: Index, kind: str) -> None:
    for images in (cache.open_images(files, kind, 96), cache.open_images(files, kind, 96)):
        for i in range(len(files)):
            assert np.array_equal(images.image(i), load_image(files, i, 96))


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_a_cached_image_needs_its_file_no_more(files: Index, kind: str) -> None:
    images = cache.open_images(files, kind, 96)
    expected = load_image(files, 3, 96)
    Path(files.files[3]).unlink()
    assert np.array_equal(images.image(3), expected)


def test_drawn_images_are_kept_in_memory_but_not_on_disk() -> None:
    index = painted_index(count=4)
    images = cache.open_images(index, "ram", 640)
    assert np.array_equal(images.image(2), index.image(2))
    with pytest.raises(UserError, match="drawn"):
        cache.open_images(index, "disk", 640)


def test_a_cache_on_disk_is_filled_once(files: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []

    def load_and_count(index: Index, i: int, limit: int) -> np.ndarray:
        decoded.append(i)
        return load_image(index, i, limit)

    monkeypatch.setattr(cache, "load_image", load_and_count)
    cache.open_images(files, "disk", 96)
    assert sorted(decoded) == list(range(len(files)))
    cache.open_images(files, "disk", 96)
    assert len(decoded) == len(files)


def test_a_changed_file_or_image_size_fills_another_cache(files: Index) -> None:
    cache.open_images(files, "disk", 96)
    cache.open_images(files, "disk", 64)
    assert len(list(cache.cache_folder().iterdir())) == 2
    height, width = files.sizes[0].tolist()
    cv2.imwrite(str(files.files[0]), np.full((height, width, 3), 7, dtype=np.uint8))
    os.utime(files.files[0], (1, 1))
    assert (cache.open_images(files, "disk", 96).image(0) == 7).all()


def test_filling_that_fails_leaves_nothing_behind_and_names_the_file(files: Index) -> None:
    Path(files.files[5]).write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"5\.png"):
        cache.open_images(files, "disk", 96)
    assert list(cache.cache_folder().iterdir()) == []


def test_a_cache_that_does_not_fit_is_refused_before_it_is_filled(
    files: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        available = free = 1000

    monkeypatch.setattr(psutil, "virtual_memory", Full)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: Full)
    monkeypatch.setattr(cache, "load_image", lambda *_: pytest.fail("filled"))
    for kind in ("ram", "disk"):
        with pytest.raises(UserError, match=rf"data\.cache={kind} needs"):
            cache.open_images(files, kind, 96)


def test_an_unknown_cache_is_named_with_the_choices(files: Index) -> None:
    with pytest.raises(UserError, match=r"data\.cache=gpu: use none, ram or disk"):
        cache.open_images(files, "gpu", 96)


@pytest.mark.parametrize("suffix", [".bmp", ".png"])
def test_a_file_written_again_with_the_same_length_fills_another_cache(tmp_path: Path, suffix: str) -> None:
    """A BMP of one size always has the same number of bytes: only the time tells the two apart."""
    file = tmp_path / f"picture{suffix}"
    for number, grey in enumerate((40, 200)):
        cv2.imwrite(str(file), np.full((32, 48, 3), grey, dtype=np.uint8))
        os.utime(file, ns=(10**18, 10**18 + number))
        index = assemble(
            ["a"], [1], [0], [str(file)], np.array([[32, 48]]), AnnotatedObjects([], [], [], [], where=str)
        )
        assert (cache.open_images(index, "disk", 64).image(0) == grey).all()
