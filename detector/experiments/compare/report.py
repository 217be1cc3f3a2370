"""A Markdown file of comparisons: sections that are written anew one by one, each with its plot and its CSV file."""

from __future__ import annotations

import re
from pathlib import Path

from detector.errors import UserError

MARK = "<!-- written by scripts/compare.py from run folders; sections are replaced by their titles -->"
HEAD = f"{MARK}\n# Results\n"


def check_report(file: Path, title: str) -> None:
    """Before anything is measured: whether the section can be written.

    Raises:
        UserError: the file is not one of ours, or it or its folder cannot be.
    """
    if not slug(title):
        raise UserError(f"title={title!r}: a heading with letters or digits is expected")
    if file.is_dir():
        raise UserError(f"output={file}: is a folder; a Markdown file is written")
    if file.suffix != ".md":
        raise UserError(f"output={file}: a Markdown file is written; give a name that ends in .md")
    if not file.absolute().parent.is_dir():
        raise UserError(f"output={file}: there is no folder {file.parent}")
    if file.is_file() and not file.read_text(encoding="utf-8").startswith(MARK):
        raise UserError(f"output={file}: exists and was not written by compare.py; give another name")


def slug(title: str) -> str:
    """The title as a file name: `Box loss, BCCD` → `box-loss-bccd`."""
    return "-".join(re.findall(r"\w+", title.lower()))


def companion(file: Path, title: str, suffix: str) -> Path:
    """The path of a section's plot or CSV file, in a folder named after the Markdown file, which is made."""
    folder = file.with_suffix("")
    folder.mkdir(exist_ok=True)
    return folder / f"{slug(title)}{suffix}"


def link(text: str, target: Path, file: Path) -> str:
    """A Markdown link from `file` to one of its companions."""
    return f"[{text}]({target.relative_to(file.parent).as_posix()})"


def write_section(file: Path, title: str, body: str) -> None:
    """Writes `## title` and the body: in place of the section of that title, or at the end of the file."""
    text = file.read_text(encoding="utf-8") if file.is_file() else HEAD
    head, *sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    section = f"## {title}\n\n{body.strip()}\n"
    titles = [one.splitlines()[0].removeprefix("## ") for one in sections]
    if title in titles:
        sections[titles.index(title)] = section
    else:
        sections.append(section)
    file.write_text("\n".join(part.strip() + "\n" for part in (head, *sections)), encoding="utf-8")
