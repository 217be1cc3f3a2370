"""`scripts/seminar.py`: each question of the seminar, its answer, and a check that goes another way."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from detector import config
from detector.errors import UserError
from detector.output import output_folder
from detector.seminar import (
    backbones,
    box_losses,
    gradient_problems,
    gradients,
    layers,
    necks,
    sharing,
    stages,
    volumes,
)
from detector.seminar.answer import Answer, Claim
from detector.seminar.show import block, painted

NUMBERS: Mapping[str, Callable[[], Answer]] = {
    "1a": layers.fully_connected_on_the_image,
    "1b": layers.fully_connected_on_patches,
    "1c": layers.convolution_on_the_image,
    "1d": layers.convolution_on_patches,
    "1e": layers.output_of_five_filters,
    "1f": layers.weights_of_five_filters,
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
}
"""Questions whose answers are numbers."""

EXPERIMENTS: Mapping[str, Callable[[Path], Answer | Claim]] = {
    "2a": sharing.what_it_gives,
    "2b": sharing.where_it_does_not_help,
    "3d": gradient_problems.dying_relus,
    "3e": gradient_problems.vanishing_and_exploding,
    "4a": stages.one_or_two,
    "4b": backbones.compared,
    "4c": necks.what_a_level_depends_on,
    "4d": box_losses.by_size,
    "5e": volumes.factorisation,
}
"""Questions with something measured, which is drawn into the folder given."""

CHOICES = sorted([*NUMBERS, *EXPERIMENTS])


def seminar(given: config.Seminar) -> None:
    """Answers the questions chosen, prints each as it comes, and ends with exit code 1 if an answer is wrong.

    Raises:
        UserError: no such question, or an output folder that is not empty.
    """
    chosen = [one for one in CHOICES if given.question in ("all", one, one[0])]
    if not chosen:
        numbers = ", ".join(sorted({one[0] for one in CHOICES}))
        raise UserError(f"question={given.question}: choose one of all, {numbers}, {', '.join(CHOICES)}")
    folder = output_folder(given.output, Path("runs") / "seminar") if set(chosen) & set(EXPERIMENTS) else Path()
    colour = sys.stdout.isatty()
    wrong = []
    for question in chosen:
        try:
            answer = NUMBERS[question]() if question in NUMBERS else EXPERIMENTS[question](folder)
        except (ArithmeticError, AssertionError, LookupError, RuntimeError, ValueError) as error:
            # two ways to one number that do not even fit together are a wrong answer, and no reason to keep the others
            wrong.append(f"{question}: no answer: {' '.join(f'{type(error).__name__}: {error}'.split())}")
            print(painted(wrong[-1], False) if colour else wrong[-1], end="\n\n", flush=True)
            continue
        print(block(answer, working=len(chosen) == 1, colour=colour), end="\n\n", flush=True)
        if not answer.right:
            wrong.append(answer.wrong())
    for line in wrong:
        print(line)
    said = f"{_answers(len(chosen) - len(wrong))} right, {len(wrong)} wrong"
    print(painted(said, not wrong) if colour else said)
    if wrong:
        sys.exit(1)


def _answers(number: int) -> str:
    return f"{number} answer" if number == 1 else f"{number} answers"
