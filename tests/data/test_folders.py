from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from detector import config
from detector.data.folders import contents, walk
from detector.data.formats.layout import complete


def test_a_link_in_a_circle_hides_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.jpg").touch()
    (tmp_path / "to_inner").symlink_to("inner")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "nowhere").symlink_to("gone")
    assert contents(tmp_path) == (["inner", "to_inner"], ["a.jpg", "circle", "nowhere"])
    assert [place.name for place, _ in walk(tmp_path)] == [tmp_path.name, "inner"]


@pytest.mark.parametrize("flat", [True, False])
def test_the_layout_of_a_folder_is_found_without_a_look_at_each_of_its_files(
    flat: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of COCO has 118,287 images: a second of `stat`, and more on a file server."""
    folder = tmp_path if flat else tmp_path / "train"
    folder.mkdir(exist_ok=True)
    for n in range(300):
        (folder / f"{n:04d}.jpg").touch()
    (tmp_path / "train.json").write_text('{"images": [], "annotations": [], "categories": []}')
    original, asked = os.stat, []

    def noted(path: Any, *arguments: Any, **named: Any) -> os.stat_result:
        asked.append(str(path))
        return original(path, *arguments, **named)

    monkeypatch.setattr(os, "stat", noted)
    data, line = complete(config.Auto(root=str(tmp_path)))
    assert isinstance(data, config.Coco)
    assert data.train == "train.json"
    assert line is not None
    assert not [path for path in asked if path.endswith(".jpg")]
    assert len(asked) < 100
