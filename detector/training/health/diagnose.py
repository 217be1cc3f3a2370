"""`scripts/diagnose.py`: each problem of a deep plain network's gradients, and each fix on its own, with the same seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from pathlib import Path

from detector import config
from detector.errors import UserError
from detector.output import output_folder
from detector.training.health.picture import draw_health
from detector.training.health.plain_network import Course, Setup, train_plain
from detector.visualization.text_table import terminal

WELL = Setup(lr=0.1)
"""24 convolutions that learn: what a problem is added to."""

PROBLEMS: Mapping[str, tuple[str, Setup]] = {
    "dead": ("biases of −0.5", replace(WELL, bias=-0.5)),
    "vanishing": ("weights 2.8 times too small", replace(WELL, gain=0.5)),
    "exploding": ("weights 1.4 times too large", replace(WELL, gain=2.0)),
}
"""Name of the problem → its cause in words and as a set-up."""


def fixes(problem: str) -> dict[str, Setup]:
    """Title → the set-up with the problem, then each with one thing changed that fixes it."""
    cause, broken = PROBLEMS[problem]
    given = {
        f"{problem}: {cause}": broken,
        "norm=batch": replace(broken, norm="batch"),
        "initialisation=kaiming": replace(broken, gain=WELL.gain, bias=WELL.bias),
        "residual": replace(broken, residual=True),
    }
    match problem:
        case "dead":
            given["activation=elu"] = replace(broken, activation="elu")
        case "exploding":
            given["clip=1"] = replace(broken, clip=1.0)
    return given


def diagnose(given: config.Diagnose) -> dict[str, dict[str, Course]]:
    """Trains them all, prints what became of each, and draws the heat maps of a problem and its fixes in one picture.

    Returns:
        Problem → title of the set-up → its course.

    Raises:
        UserError: an unknown problem, or an output folder that is not empty.
    """
    if given.problem != "all" and given.problem not in PROBLEMS:
        raise UserError(f"problem={given.problem}: choose one of all, {', '.join(PROBLEMS)}")
    folder = output_folder(given.output, Path("runs") / "diagnose")
    courses: dict[str, dict[str, Course]] = {}
    for problem in PROBLEMS if given.problem == "all" else [given.problem]:
        courses[problem] = {title: train_plain(setup, seed=given.seed) for title, setup in fixes(problem).items()}
        print(terminal(_cells(courses[problem])), end="\n\n")
        draw_health(folder / f"{problem}.png", {title: course.history for title, course in courses[problem].items()})
    print(f"loss: mean of the last ten of 60 steps; guessing has 1.39. Heat maps lie in {folder}")
    return courses


def _cells(courses: Mapping[str, Course]) -> list[list[str]]:
    cells = [["set-up", "loss", "layers that are dead", "vanishing", "exploding"]]
    for title, course in courses.items():
        loss = course.final_loss
        layers = Counter(flag.problem for flag in course.flags)
        counts = [str(layers[name]) for name in ("dead", "vanishing", "exploding")]
        cells.append([title, f"{loss:.2f}" if isfinite(loss) else "not finite", *counts])
    return cells
