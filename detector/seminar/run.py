"""`scripts/seminar.py`: each question of the seminar, its answer, and each condition that makes it right."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from detector import config
from detector.errors import UserError, shown
from detector.output import new_file, output_folder, write_text
from detector.seminar import (
    backbones,
    box_losses,
    dead_units,
    faces,
    factorisation,
    gradient_sizes,
    gradients,
    layers,
    necks,
    sharing,
    stages,
    volumes,
)
from detector.seminar.answer import Answer, Condition
from detector.seminar.drawing import draw
from detector.seminar.page.page import seminar_page
from detector.seminar.sheet import SHEET
from detector.seminar.show import block, painted, wrong

NUMERIC: Mapping[str, Callable[..., Answer]] = {
    "1a": layers.fully_connected_on_the_image,
    "1b": layers.fully_connected_on_patches,
    "1c": layers.convolution_on_the_image,
    "1d": layers.convolution_on_patches,
    "1e": layers.output_of_filters,
    "1f": layers.weights_of_filters,
    "1g": layers.depth_of_the_next_filter,
    "1h": layers.output_with_a_stride,
    "1i": layers.parameters_with_a_stride,
    "3a": gradients.forward,
    "3b": gradients.input_gradient,
    "3c": gradients.relu_both_ways,
    "5a": volumes.weights,
    "5b": volumes.output,
    "5c": volumes.output_with_a_temporal_stride,
    "5d": volumes.cost,
    "5e": factorisation.factorisation,
}
"""Questions whose answers are numbers: the arguments of each function are the numbers that can be given."""

EXPERIMENTS: Mapping[str, Callable[..., Answer]] = {
    "2a": sharing.what_it_gives,
    "2b": faces.where_it_does_not_help,
    "3d": dead_units.dying_relus,
    "3e": gradient_sizes.vanishing_and_exploding,
    "4a": stages.one_or_two,
    "4b": backbones.compared,
    "4c": necks.categories_and_necks,
    "4d": box_losses.by_size,
}
"""Questions that are answered in words, with an experiment."""

QUESTIONS = sorted([*NUMERIC, *EXPERIMENTS])

GIVEN = tuple(one.name for one in fields(config.Seminar) if one.name not in ("question", "output", "page"))
"""Names of the numbers on the command line."""


def numbers_of(question: str) -> dict[str, Any]:
    """The numbers of a question's text, by the names that they are given by; none for a question in words."""
    if question not in NUMERIC:
        return {}
    parameters = inspect.signature(NUMERIC[question]).parameters
    return {name: one.default for name, one in parameters.items() if name in GIVEN}


def answer(question: str, **numbers: Any) -> Answer:
    """Answers one question, with other numbers than the sheet's where some are given.

    With the sheet's own numbers the result is compared with the sheet's answer too.

    Raises:
        ValueError: a number that the question does not use, or one that cannot be.
    """
    if question in EXPERIMENTS:
        return EXPERIMENTS[question](**numbers)
    own = numbers_of(question)
    if foreign := numbers.keys() - own.keys():
        raise ValueError(f"{', '.join(sorted(foreign))}: question {question} uses {', '.join(own)}")
    found = NUMERIC[question](**numbers)
    used = {**own, **numbers}
    if used != own:
        return found.also(Condition("numbers given in place of the sheet's", len(numbers), ">", 0), numbers=used)
    assert found.result is not None
    return found.also(Condition("result = the sheet's answer", found.result, "=", SHEET[question]), numbers=used)


def chosen_questions(text: str) -> list[str]:
    """The questions that `all`, `1`, `3b`, `Q3b` or several of them with commas mean, in the sheet's order.

    Raises:
        UserError: no such question.
    """
    chosen = set()
    for word in text.split(","):
        name = re.sub(r"^q", "", word.strip().lower())
        found = [one for one in QUESTIONS if name in ("all", one, one[0])]
        if not found:
            numbers = ", ".join(sorted({one[0] for one in QUESTIONS}))
            raise UserError(f"question={text}: choose one of all, {numbers}, {', '.join(QUESTIONS)}, or several: 1,3b")
        chosen.update(found)
    return sorted(chosen)


def seminar(given: config.Seminar) -> None:
    """Answers the questions chosen, prints each as it comes, and ends with exit code 1 if an answer is wrong.

    Raises:
        UserError: no such question, a number that a chosen question does not use or that cannot be, an output folder
            that is not empty, or a page that exists already.
    """
    chosen = chosen_questions(given.question)
    numbers = {name: value for name in GIVEN if (value := getattr(given, name)) is not None}
    for question in chosen:
        own = numbers_of(question)
        if foreign := [name for name in numbers if name not in own]:
            uses = f"it takes {', '.join(own)}" if own else "it takes no numbers"
            values = " ".join(f"{name}={shown(numbers[name])}" for name in foreign)
            raise UserError(f"{values}: question {question} does not use that; {uses}")
    page = new_file(given.page, "page") if given.page is not None else None
    drawn = any(one in EXPERIMENTS or one == "5e" for one in chosen)
    folder = output_folder(given.output, Path("runs") / "seminar") if drawn else Path()
    colour = sys.stdout.isatty()
    found_answers: list[Answer] = []
    failed: list[str] = []
    unanswered: list[str] = []
    for question in chosen:
        try:
            found = answer(question, **numbers)
            plot = draw(found.panels, folder / f"{question}.png") if found.panels else None
        except (ArithmeticError, AssertionError, LookupError, RuntimeError, ValueError) as error:
            if numbers and isinstance(error, RuntimeError | ValueError):
                raise UserError(f"question={question}: {' '.join(str(error).split())}") from error
            # two ways to one number that do not even fit together are a wrong answer, and no reason to keep the others
            unanswered.append(f"{question}: no answer: {' '.join(f'{type(error).__name__}: {error}'.split())}")
            failed.append(unanswered[-1])
            print(painted(failed[-1], False) if colour else failed[-1], end="\n\n", flush=True)
            continue
        found_answers.append(found)
        print(block(found, given.question != "all", colour, plot), end="\n\n", flush=True)
        if not found.right:
            failed.append(wrong(found))
    if page is not None:
        write_text(page, seminar_page(found_answers, unanswered))
        print(f"page: {page}")
    for line in failed:
        print(line)
    said = f"{_answers(len(chosen) - len(failed))} right, {len(failed)} wrong"
    print(painted(said, not failed) if colour else said)
    if failed:
        sys.exit(1)


def _answers(number: int) -> str:
    return f"{number} answer" if number == 1 else f"{number} answers"
