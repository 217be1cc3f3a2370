from __future__ import annotations

from pathlib import Path

import pytest

from detector.errors import UserError
from detector.output import new_folder, output_folder


def test_latest_follows_the_newest_folder(tmp_path: Path) -> None:
    first = new_folder(tmp_path / "runs")
    second = new_folder(tmp_path / "runs")
    assert first != second
    assert (tmp_path / "runs" / "latest").resolve() == second.resolve()
    second.rmdir()
    third = new_folder(tmp_path / "runs")
    assert (tmp_path / "runs" / "latest").resolve() == third.resolve()
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == sorted([first.name, third.name, "latest"])


@pytest.mark.parametrize("kind", ["file", "folder", "link to elsewhere", "absolute link"])
def test_what_a_user_calls_latest_stays_and_one_line_says_so(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    latest, elsewhere = tmp_path / "runs" / "latest", tmp_path / "elsewhere"
    latest.parent.mkdir()
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("precious")
    match kind:
        case "file":
            latest.write_text("precious")
        case "folder":
            latest.mkdir()
            (latest / "precious").write_text("precious")
        case "link to elsewhere":
            latest.symlink_to("../elsewhere")
        case "absolute link":
            latest.symlink_to(elsewhere)
    folder = new_folder(tmp_path / "runs")
    assert folder.is_dir()
    kept = latest if kind == "file" else latest / "precious"
    assert kept.read_text() == "precious"
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert str(latest) in said
    assert "stays as it is" in said
    assert folder.name in said


@pytest.mark.parametrize("place", ["file/below", "loop", "loop/below"])
def test_where_no_folder_can_be_made_one_line_says_so(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    for make in (lambda: new_folder(tmp_path / place), lambda: output_folder(str(tmp_path / place), tmp_path)):
        with pytest.raises(UserError, match=str(tmp_path / place)) as caught:
            make()
        assert "\n" not in str(caught.value)
