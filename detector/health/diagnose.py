"""`scripts/diagnose.py`: each illness of a deep plain network, and each remedy on its own, with the same seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from pathlib import Path

from detector import config
from detector.errors import UserError
from detector.health.picture import draw_health
from detector.health.plain_network import Course, Setup, train_plain
from detector.output import output_folder
from detector.visualization.text_table import terminal

WELL = Setup(lr=0.1)
"""24 convolutions that learn: what an illness is added to."""

ILLNESSES: Mapping[str, tuple[str, Setup]] = {
    "dead": ("biases of −0.5", replace(WELL, bias=-0.5)),
    "vanishing": ("weights 2.8 times too small", replace(WELL, gain=0.5)),
    "exploding": ("weights 1.4 times too large", replace(WELL, gain=2.0)),
}
"""Name of the illness → its cause in words and as a set-up."""


def remedies(illness: str) -> dict[str, Setup]:
    """Title → the ill set-up with one thing changed, the ill one itself first."""
    cause, ill = ILLNESSES[illness]
    given = {
        f"{illness}: {cause}": ill,
        "norm=batch": replace(ill, norm="batch"),
        "initialisation=kaiming": replace(ill, gain=WELL.gain, bias=WELL.bias),
        "residual": replace(ill, residual=True),
    }
    match illness:
        case "dead":
            given["activation=elu"] = replace(ill, activation="elu")
        case "exploding":
            given["clip=1"] = replace(ill, clip=1.0)
    return given


def diagnose(given: config.Diagnose) -> dict[str, dict[str, Course]]:
    """Trains them all, prints what became of each, and draws the heat maps of an illness and its remedies in one picture.

    Returns:
        Illness → title of the set-up → its course.

    Raises:
        UserError: an unknown illness, or an output folder that is not empty.
    """
    if given.illness != "all" and given.illness not in ILLNESSES:
        raise UserError(f"illness={given.illness}: choose one of all, {', '.join(ILLNESSES)}")
    folder = output_folder(given.output, Path("runs") / "diagnose")
    courses: dict[str, dict[str, Course]] = {}
    for illness in ILLNESSES if given.illness == "all" else [given.illness]:
        courses[illness] = {title: train_plain(setup, seed=given.seed) for title, setup in remedies(illness).items()}
        print(terminal(_cells(courses[illness])), end="\n\n")
        draw_health(folder / f"{illness}.png", {title: course.history for title, course in courses[illness].items()})
    print(f"loss: mean of the last ten of 60 steps; guessing has 1.39. Heat maps lie in {folder}")
    return courses


def _cells(courses: Mapping[str, Course]) -> list[list[str]]:
    cells = [["set-up", "loss", "layers that are dead", "vanishing", "exploding"]]
    for title, course in courses.items():
        loss = course.final_loss
        layers = Counter(flag.illness for flag in course.flags)
        counts = [str(layers[name]) for name in ("dead", "vanishing", "exploding")]
        cells.append([title, f"{loss:.2f}" if isfinite(loss) else "not finite", *counts])
    return cells
