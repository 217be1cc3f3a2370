"""What is wrong with a split, found without decoding an image, and its one-line summary."""

from __future__ import annotations

import os
from collections.abc import Sequence

from detector.data.index import Index, Problem


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
