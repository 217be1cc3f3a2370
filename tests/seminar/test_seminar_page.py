from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from composition import command
from hydra.core.global_hydra import GlobalHydra

from detector import config
from detector.errors import UserError
from detector.seminar import run
from detector.seminar.answer import Answer, Condition, Panel, Series, Table
from detector.seminar.page.page import seminar_page

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script":
            self.scripts[-1] += data


def data_of(page: str) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    found: dict[str, Any] = json.loads(Elements(page).scripts[0], parse_constant=refuse)
    return found


def hostile_answer() -> Answer:
    return Answer(
        "9z",
        HOSTILE,
        HOSTILE,
        (Condition(HOSTILE, nan, "<", 1.0), Condition("same", 1, "=", 1)),
        formula=HOSTILE,
        steps=(HOSTILE,),
        tables=(Table(HOSTILE, (HOSTILE,), ((HOSTILE,),)),),
        panels=(Panel(HOSTILE, "bars", (Series(HOSTILE, (inf, 1.0)),), ticks=(HOSTILE, "b")),),
        noted=(HOSTILE,),
        sources=(HOSTILE,),
    )


def test_it_holds_every_answer_whole_and_nothing_from_elsewhere() -> None:
    answers = [run.answer(question) for question in run.NUMERIC if question != "5e"]
    page = seminar_page(answers)
    data = data_of(page)
    assert data["answers"] == json.loads(json.dumps([one.as_data() for one in answers]))
    elements = Elements(page).elements
    assert [tag for tag, _ in elements if tag == "script"] == ["script", "script"]
    assert not [tag for tag, _ in elements if tag in ("link", "img", "iframe", "object", "base")]
    assert not [(tag, found) for tag, found in elements if {"src", "href"} & found.keys()]
    addresses = set(re.findall(r"https?://[^\s\"'`]+", page))
    assert addresses == {"http://www.w3.org/1998/Math/MathML", "http://www.w3.org/2000/svg"}, "names, not addresses"
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|import\(", page)
    policy = next(found["content"] for _, found in elements if found.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert len(page.encode()) < 200_000


def test_text_stays_text_whatever_it_says() -> None:
    answer = hostile_answer()
    page = seminar_page([answer], [f"8y: no answer: {HOSTILE}"])
    elements = Elements(page)
    assert len(elements.scripts) == 2
    assert not [tag for tag, _ in elements.elements if tag == "img"]
    data = data_of(page)["answers"][0]
    assert data["asked"] == HOSTILE
    assert data["tables"][0]["rows"] == [[HOSTILE]]
    assert data["panels"][0]["series"][0]["y"] == [None, 1.0]
    assert "8y: no answer: &lt;/script&gt;" in page


def test_it_says_which_answers_are_wrong() -> None:
    page = seminar_page([run.answer("1g"), hostile_answer()])
    assert "1 of 2 answers are right" in page
    assert "Wrong: 9z" in page
    assert "Wrong:" not in seminar_page([run.answer("1g")])


def test_numbers_can_be_as_large_as_on_the_command_line() -> None:
    limits = data_of(seminar_page([run.answer("1g")]))["limits"]
    assert limits["kernel"] == [1, 512]
    assert limits["padding"] == [0, 512]
    for question in run.NUMERIC:
        for name, value in run.numbers_of(question).items():
            assert (name in limits) == isinstance(value, int), name


def test_the_command_writes_the_questions_chosen_with_the_numbers_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run.seminar(config.Seminar(question="1,3b", page="new/seminar.html"))
    assert "page: new/seminar.html" in capsys.readouterr().out
    answers = data_of(Path("new/seminar.html").read_text())["answers"]
    assert [one["question"] for one in answers] == [f"1{letter}" for letter in "abcdefghi"] + ["3b"]
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "seminar.html"]
    run.seminar(config.Seminar(question="1h", kernel=7, page="other.html"))
    (answer,) = data_of(Path("other.html").read_text())["answers"]
    assert answer["numbers"]["kernel"] == 7
    assert answer["result"] == [9, 9, 5]


def test_a_file_that_is_there_stays_and_nothing_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "seminar.html"
    file.write_text("mine")
    with pytest.raises(UserError, match=r"page=.*seminar\.html: exists already; name a new file"):
        run.seminar(config.Seminar(question="1", page=str(file)))
    with pytest.raises(UserError, match=r"page=.*page\.html: no file can be made there"):
        run.seminar(config.Seminar(question="1", page=str(file / "page.html")))
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(sys, "argv", ["seminar.py", "question=1g", f"page={file}"])
    GlobalHydra.instance().clear()
    with pytest.raises(SystemExit) as stopped:
        command("seminar", run.seminar)
    assert stopped.value.code == 2
    assert file.read_text() == "mine"


def test_a_question_without_an_answer_stands_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> Answer:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(run, "NUMERIC", {**run.NUMERIC, "1g": broken})
    with pytest.raises(SystemExit) as stopped:
        run.seminar(config.Seminar(question="1f,1g", page=str(tmp_path / "page.html")))
    assert stopped.value.code == 1
    page = (tmp_path / "page.html").read_text()
    assert "1g: no answer: RuntimeError: shapes do not fit" in page
    assert [one["question"] for one in data_of(page)["answers"]] == ["1f"]
    assert "1 answer right, 1 wrong" in capsys.readouterr().out
