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
from detector.seminar.answer import Answer, Condition
from detector.seminar.run import chosen_questions, seminar


def wrong_answer() -> Answer:
    return Answer("1a", "?", "", (Condition("one and two", 1, "=", 2),), result=1)


def test_steps_are_shown_for_any_choice_of_questions(
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
    assert together.count("step 1") == 9
    assert "FAILS" not in together
    assert "\033" not in alone + together, "colours are for terminals"
    assert list(tmp_path.iterdir()) == [], "nothing was drawn"


@pytest.mark.parametrize(
    ("text", "questions"),
    [
        ("1g", ["1g"]),
        ("Q3b", ["3b"]),
        ("q5A", ["5a"]),
        ("3b,1a", ["1a", "3b"]),
        ("2, 3b", ["2a", "2b", "3b"]),
        ("3,3b", ["3a", "3b", "3c", "3d", "3e"]),
    ],
)
def test_questions_are_chosen_by_number_letter_and_comma(text: str, questions: list[str]) -> None:
    assert chosen_questions(text) == questions


@pytest.mark.parametrize("question", ["6", "3f", "b", "", "1,6", "1,"])
def test_an_unknown_question_is_answered_with_the_choices(question: str) -> None:
    with pytest.raises(UserError, match=r"choose one of all, 1, 2, 3, 4, 5, 1a, 1b, .*, 5e"):
        seminar(config.Seminar(question=question))


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["seminar.py", *arguments])
    GlobalHydra.instance().clear()
    try:
        command("seminar", seminar)
    except SystemExit as stopped:
        return stopped.code
    return 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("question=9z",), "error: question=9z: choose one of all, 1, 2"),
        (("question=1g", "kernel=7"), "error: kernel=7: question 1g does not use that; it takes channels, filters"),
        (("question=1", "kernel=7"), "error: kernel=7: question 1a does not use that"),
        (("question=2a", "kernel=7"), "error: kernel=7: question 2a does not use that; it takes no numbers"),
        (("question=1e", "kernel=70"), "error: question=1e: an input of 32 with padding 0 is smaller than the kernel"),
        (("question=1e", "kernel=0"), "error: kernel=0: a whole number from 1 to 512"),
        (("question=3a", "x=[[1,2],[3]]"), "error: question=3a: x: rows of numbers, of one length, are expected"),
        (("question=3a", "w=[[1,a]]"), "error: question=3a: w: rows of numbers"),
        (("question=3a", "w=[1,2]"), "error: question=3a: w: rows of numbers"),
        (("question=3b", "w=[[1,2,3,4]]"), "error: question=3b: w of 1 × 4 is larger than x"),
        (("question=3b", "output_gradient=[[1]]"), "error: question=3b: output_gradient of 1 × 1: o has 1 × 2"),
        (("question=3c", "output_gradient=[[1]]"), "error: question=3c: output_gradient of 1 × 1: x has 2 × 2"),
        (("question=1c", "height=4000", "width=4000"), "error: question=1c: 16,000,000,000 weights"),
        (("question=5e", "channels=1000"), "error: question=5e: the layers are run, with at most 512 channels"),
    ],
)
def test_a_number_that_cannot_be_ends_with_exit_code_2_and_one_line(
    arguments: tuple[str, ...],
    error: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, *arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith(error)
    assert said.count("\n") == 1


def test_the_command_line_takes_numbers_and_several_questions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "question=1e", "kernel=7", "stride=2") == 0
    assert "13 × 13 × 5" in capsys.readouterr().out
    assert call(monkeypatch, "question=1e,Q3a") == 0
    said = capsys.readouterr().out
    assert re.findall(r"^\d\w", said, re.MULTILINE) == ["1e", "3a"]
    assert said.endswith("2 answers right, 0 wrong\n")
    assert call(monkeypatch, "question=3b", "output_gradient=[[1,2]]") == 0
    assert "[[0, 1, 2], [1, 2.5, 1]]" in capsys.readouterr().out


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
    assert "1a: result = the sheet's answer: 10,002,000 = 10,001,000; parameters by formula = by nn.Linear" in said
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
    assert "1e: result = the sheet's answer: [14, 14, 5] = [28, 28, 5]" in said


def test_right_is_green_and_wrong_is_red_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    seminar(config.Seminar(question="1a"))
    assert capsys.readouterr().out.endswith("\033[32m1 answer right, 0 wrong\033[0m\n")
    monkeypatch.setitem(run.NUMERIC, "1a", wrong_answer)
    with pytest.raises(SystemExit):
        seminar(config.Seminar(question="1a"))
    said = capsys.readouterr().out
    assert "FAILS    one and two: 1 = 2" in said
    assert said.endswith("\033[31m0 answers right, 1 wrong\033[0m\n")


@pytest.mark.parametrize(
    ("value", "relation", "bound", "holds"),
    [
        (1, "=", 1, True),
        ((1, 2), "=", (1, 3), False),
        ((0.1, 0.2), "<", 0.3, True),
        ((0.1, 0.4), "<", 0.3, False),
        ((0.4, 0.5), ">", 0.3, True),
        ((0.4, 0.3), ">", 0.3, False),
        (float("nan"), "<", 1, False),
        (float("inf"), ">", 1, False),
    ],
)
def test_a_condition_holds_for_every_value_and_for_none_that_is_not_finite(
    value: object, relation: str, bound: object, holds: bool
) -> None:
    assert Condition("", value, relation, bound).holds is holds  # type: ignore[arg-type]


def test_an_answer_without_conditions_is_not_right() -> None:
    assert not Answer("1a", "", "", ()).right
