"""What a reader of a comparison must know to take its numbers for what they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from detector import __version__, config
from detector.command_line import command_line, quoted
from detector.evaluation.difference import FEWEST_IMAGES
from detector.experiments.benchmark.machine import describe_machine
from detector.experiments.compare.cost import IMAGES
from detector.experiments.compare.differences import correction
from detector.experiments.compare.runs import Run
from detector.experiments.compare.table import Measured


def notes(
    given: config.Compare, rows: Sequence[Measured], unfinished: Sequence[Path], device: str, detailed: bool
) -> str:
    """How the numbers were measured, in one paragraph."""
    machine = describe_machine()
    hardware = machine["gpu"] if device == "cuda" else f"{machine['cpu']}, {machine['torch_threads']} thread(s)"
    sentences = [
        "AP is COCO's, of the best epoch of each run on the validation images; ± is the standard deviation over "
        "seeds (n − 1); GFLOPs count 2 for each multiply-add of convolutions and matrix products, for one image, the mean "
        f"of {IMAGES} validation images.",
    ]
    if given.latency:
        sentences.append(
            "Latency is the median for one image from host memory to detections in host memory, suppression included, "
            f"measured on {hardware} (load average {machine['load_average']})."
        )
    if detailed:
        sentences.append(
            "Regions is how many regions of an image pass through the network, or through its part that looks at each "
            "one; none where the image passes as a whole."
        )
    if detailed and given.latency:
        memory = "tensors held on the GPU" if device == "cuda" else "resident beyond the libraries"
        sentences.append(
            "Stages are medians of repeats of their own, in which the device is waited for at the borders of a stage; "
            "proposals are made anew for each image; other is what belongs to no stage. Peak MiB is of weights and "
            f"prediction, image by image, in a process of its own: {memory}."
        )
    if any(row.differences for row in rows):
        sentences.append(differences_explained(rows, given.resamples))
    commits = {_commit(one) for row in rows for one in row.group.runs}
    if len(commits) > 1:
        sentences.append(f"The runs were made with {len(commits)} commits of the code: {', '.join(sorted(commits))}.")
    if unfinished:
        sentences.append(f"Left out, not finished: {', '.join(map(str, unfinished))}.")
    return " ".join(sentences)


def differences_explained(rows: Sequence[Measured], resamples: int) -> str:
    """What the intervals and p-values of the differences say."""
    return (
        f"Intervals: {resamples} resamples of the validation images, the same for all runs (paired bootstrap, "
        "percentiles). Over images: these trained detectors on other images of the same kind. And over seeds: "
        "trained anew as well, by a Student t term for the spread of the seeds of both groups; p and the verdict go by this "
        f"one where it is there. Where fewer than {FEWEST_IMAGES} images have an object, no interval is told. "
        + correction(rows, resamples)
    )


def _commit(one: Run) -> str:
    file = one.folder / "environment.json"
    commit = json.loads(file.read_text()).get("git_commit") if file.is_file() else None
    return commit[:10] if commit else "unknown"


def origin(given: config.Compare) -> str:
    """Command, date and versions."""
    usual = config.Compare(given.runs)
    options = [
        f"{field.name}={_value(value)}"
        for field in fields(given)
        if (value := getattr(given, field.name)) != getattr(usual, field.name)
    ]
    command = command_line("compare", *given.runs, *options)
    others = [f"{name} {version(name)}" for name in ("torch", "torchvision", "pycocotools", "numpy")]
    versions = ", ".join([f"detector {__version__}", *others])
    return f"```\n{command}\n```\n\n{datetime.now():%Y-%m-%d %H:%M}; {versions}."


def _value(value: Any) -> str:
    """As it is written on a command line."""
    return f"[{','.join(map(quoted, value))}]" if isinstance(value, list) else quoted(str(value))
