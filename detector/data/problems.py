"""What is wrong with a split, found without decoding an image, and its one-line summary."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

from detector.data.index import Index, Problem
from detector.errors import UserError

LOST_OBJECTS = frozenset(
    {*("malformed annotation", "unknown class", "degenerate box", "box outside", "annotation of a missing image")}
)
"""Kinds of problems of which each is an object that is not trained on, or a file of such."""


def cheap_problems(index: Index) -> list[Problem]:
    """What reading found and the image files that are missing: takes one listing of each image folder."""
    return [*index.problems, *missing_images(index)]


def missing_images(index: Index) -> list[Problem]:
    """The images whose file does not exist; none for drawn data."""
    if index.painter is not None:
        return []
    present: dict[str, set[str]] = {}
    missing = []
    for file in index.files.tolist():
        folder, name = os.path.split(file)
        if folder not in present:
            present[folder] = set(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else set()
        if name not in present[folder]:
            missing.append(Problem("missing image", file, "the annotations name it, the file is not there"))
    return missing


def summarise(problems: Sequence[Problem]) -> str:
    """One line: how many of each kind, each with the first of them. "no problem" if there is none."""
    by_kind: dict[str, list[Problem]] = {}
    for problem in problems:
        by_kind.setdefault(problem.kind, []).append(problem)
    if not by_kind:
        return "no problem"
    return "; ".join(f"{len(of)} × {kind} (first: {of[0].where}: {of[0].what})" for kind, of in by_kind.items())


def refuse_nothing_to_learn(index: Index) -> None:
    """Looks for an object that a detector can be trained on.

    Raises:
        UserError: the training split has none; the one line says what most of its objects were skipped for.
    """
    if not index.crowd.all():
        return
    hint = ""
    problems = [problem for problem in index.problems if problem.kind in LOST_OBJECTS] or index.problems
    if problems:
        (kind, count), *_ = Counter(problem.kind for problem in problems).most_common(1)
        first = next(problem for problem in problems if problem.kind == kind)
        hint = f"; most is lost to {count} × {kind} (first: {first.where}: {first.what})"
    elif len(index.crowd):
        hint = f"; all {len(index.crowd)} are crowd or difficult"
    raise UserError(f"data.train has no object to learn from in {len(index)} images{hint}")


def nothing_to_measure(index: Index) -> str | None:
    """A line that says so where a validation split has no object that a detector could find; None where it has some."""
    if (~index.annotations.crowd).any():
        return None
    objects = "no object" if not len(index.annotations) else "no object but crowd or difficult ones"
    return f"data.val has {objects}: nothing is measured, last.ckpt is kept"
