"""Every command that README and docs show has keys that exist, and every link leads somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from detector.cli.commands import COMMANDS
from detector.cli.keys import checked
from detector.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each command of a page, in a block or within a sentence, without `detector` and without comments."""
    text = page.read_text(encoding="utf-8")
    inline = "\n".join(re.findall(r"(?<!`)`(detector \w+ [^`]+)`(?!`)", text))
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for block in [*(block for language, block in blocks if not language), inline]:
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["detector"]:
                yield words[1:]
            elif words[:1] == ["python"] and len(words) > 1 and (script := Path(words[1])).parent.name == "scripts":
                yield [script.stem, *words[2:]]


SHOWN = [pytest.param(words, id=f"{page.stem}-{'_'.join(words)}"[:90]) for page in PAGES for words in commands(page)]


@pytest.mark.parametrize("words", SHOWN)
def test_a_command_that_is_shown_has_keys_and_choices_that_exist(words: list[str]) -> None:
    name, *arguments = words
    if not name.startswith("--") and "--help" not in arguments:
        checked(COMMANDS[name], arguments)


def test_a_wrong_key_in_a_page_would_be_noticed() -> None:
    assert len(SHOWN) > 50
    with pytest.raises(UserError):
        checked(COMMANDS["train"], ["experiment=shapes", "epochs=3"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http", "#")):
            assert (page.parent / target.split("#")[0]).exists(), target


def test_every_page_is_in_the_menu_of_the_site() -> None:
    menu = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    listed = [one for entry in menu for one in ([entry] if isinstance(entry, str) else next(iter(entry.values())))]
    assert sorted(listed) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))


def test_the_readme_can_be_read_in_one_go() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
