from __future__ import annotations

from pathlib import Path

import pytest

from detector.errors import UserError
from detector.experiments.compare.report import check_report, companion, slug, write_section


def test_sections_are_added_in_order_and_replaced_by_title(tmp_path: Path) -> None:
    file = tmp_path / "RESULTS.md"
    write_section(file, "One", "first\n\n### not a section\n")
    write_section(file, "Two", "second")
    write_section(file, "One", "third")
    check_report(file, "One")
    text = file.read_text()
    assert [line for line in text.splitlines() if line.startswith("#")] == ["# Results", "## One", "## Two"]
    assert "third\n\n## Two\n\nsecond\n" in text
    assert "first" not in text
    before = text
    write_section(file, "One", "third")
    assert file.read_text() == before


def test_a_file_that_somebody_else_wrote_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("# Mine\n")
    with pytest.raises(UserError, match=r"README.md: exists and was not written by compare.py"):
        check_report(file, "One")


@pytest.mark.parametrize(
    ("name", "title", "words"),
    [
        ("folder.md", "A", "is a folder"),
        ("results.txt", "A", "ends in .md"),
        ("no/RESULTS.md", "A", "there is no folder .*no"),
        ("RESULTS.md", "!", "title='!'"),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is_measured(
    tmp_path: Path, name: str, title: str, words: str
) -> None:
    (tmp_path / "folder.md").mkdir()
    with pytest.raises(UserError, match=words):
        check_report(tmp_path / name, title)


def test_plot_and_table_lie_in_a_folder_named_after_the_file(tmp_path: Path) -> None:
    assert slug("Box losses, BCCD (3 seeds)") == "box-losses-bccd-3-seeds"
    file = companion(tmp_path / "RESULTS.md", "Box losses", ".png")
    assert file == tmp_path / "RESULTS" / "box-losses.png"
    assert file.parent.is_dir()
