from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from composition import command
from hydra.core.global_hydra import GlobalHydra

from detector import config
from detector.arithmetic.convolution import Convolution, FullyConnected
from detector.errors import UserError
from detector.seminar import layers, run
from detector.seminar.answer import Answer, Value
from detector.seminar.run import CHOICES, EXPERIMENTS, NUMBERS, seminar

KNOWN: dict[str, Value] = {
    "1a": 10_001_000,
    "1b": (101_000, 100),
    "1c": (100, 1, 0, 1000),
    "1d": (10, 10, 0, 1000),
    "1e": (28, 28, 5),
    "1f": (75, 375, 76, 380),
    "1g": 5,
    "1h": (10, 10, 5),
    "1i": 380,
    "3a": (1.25, 4),
    "3b": ((0, 1, 1), (1, 1.5, 0.5)),
    "3c": (((0, 0), (2, 0.5)), ((0, 0), (1, 1))),
    "5a": ((64, 1, 3, 3, 3), 1792),
    "5b": (64, 16, 224, 224),
    "5c": (64, 8, 224, 224),
    "5d": 1_387_266_048,
}
"""The answers that the seminar was given."""


@pytest.mark.parametrize("question", NUMBERS)
def test_each_answer_in_numbers_is_the_known_one_by_formula_and_by_its_check(question: str) -> None:
    answer = NUMBERS[question]()
    assert answer.question == question
    assert answer.result == answer.checked == KNOWN[question]
    assert answer.right
    assert answer.working


def test_there_are_25_questions_and_each_is_answered_once() -> None:
    letters = {1: "abcdefghi", 2: "ab", 3: "abcde", 4: "abcd", 5: "abcde"}
    assert [f"{number}{letter}" for number in letters for letter in letters[number]] == CHOICES
    assert len(CHOICES) == 25
    assert not NUMBERS.keys() & EXPERIMENTS.keys()


def test_one_question_is_shown_with_its_working_and_a_number_is_all_of_its_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    seminar(config.Seminar(question="3b"))
    alone = capsys.readouterr().out
    assert "step 1" in alone
    assert "[[0, 1, 1], [1, 1.5, 0.5]]" in alone
    assert alone.endswith("1 answer right, 0 wrong\n")
    seminar(config.Seminar(question="1"))
    together = capsys.readouterr().out
    assert re.findall(r"^\d\w", together, re.MULTILINE) == [f"1{letter}" for letter in "abcdefghi"]
    assert together.endswith("9 answers right, 0 wrong\n")
    assert "step 1" not in together
    assert "\033" not in alone + together, "colours are for terminals"
    assert list(tmp_path.iterdir()) == [], "nothing was drawn"


def test_a_wrong_digit_in_a_formula_turns_its_answers_red_and_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        FullyConnected, "parameters", property(lambda self: self.inputs * self.outputs + 2 * self.outputs)
    )
    with pytest.raises(SystemExit) as stopped:
        seminar(config.Seminar(question="1"))
    assert stopped.value.code == 1
    said = capsys.readouterr().out
    assert "1a: 10002000 by formula, 10001000 expected, 10001000 by parameters of nn.Linear(10000, 1000)" in said
    assert said.endswith("7 answers right, 2 wrong\n")


def test_a_formula_that_does_not_even_fit_its_check_is_a_wrong_answer_and_no_crash(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sized = Convolution.output_size

    def halved(self: Convolution, size: Sequence[int]) -> tuple[int, ...]:
        return tuple(n // 2 for n in sized(self, size))

    monkeypatch.setattr(Convolution, "output_size", halved)
    monkeypatch.setattr(layers, "patches", lambda image, kernel, stride: image.reshape(1, 99, -1))
    with pytest.raises(SystemExit) as stopped:
        seminar(config.Seminar(question="1"))
    assert stopped.value.code == 1
    said = capsys.readouterr().out
    assert "1b: no answer: RuntimeError: shape '[1, 99, -1]' is invalid" in said
    assert "1e: (14, 14, 5) by formula, (28, 28, 5) expected" in said
    assert said.endswith("6 answers right, 3 wrong\n")


def test_right_is_green_and_wrong_is_red_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    seminar(config.Seminar(question="1a"))
    assert capsys.readouterr().out.endswith("\033[32m1 answer right, 0 wrong\033[0m\n")
    monkeypatch.setitem(run.NUMBERS, "1a", lambda: Answer("1a", "?", "", "", 1, 2, "", 2))
    with pytest.raises(SystemExit):
        seminar(config.Seminar(question="1a"))
    assert capsys.readouterr().out.endswith("\033[31m0 answers right, 1 wrong\033[0m\n")


@pytest.mark.parametrize("question", ["6", "3f", "b", ""])
def test_an_unknown_question_is_answered_with_the_choices(question: str) -> None:
    with pytest.raises(UserError, match=r"choose one of all, 1, 2, 3, 4, 5, 1a, 1b, .*, 5e"):
        seminar(config.Seminar(question=question))


def test_the_command_line_ends_with_exit_code_2_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["seminar.py", "question=9z"])
    GlobalHydra.instance().clear()
    with pytest.raises(SystemExit) as stopped:
        command("seminar", seminar)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: question=9z: choose one of all, 1, 2")
    assert said.count("\n") == 1
