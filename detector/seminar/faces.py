"""Question 2b: where weight sharing does not help: faces that are aligned, whose parts mean something else by place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from detector.seminar.answer import Answer, Condition, Panel, Series, Table
from detector.seminar.sharing import OneLayer, accuracy, fit

SIDE = 12
"""Pixels."""
EYES, MOUTH = ((1, 0), (1, 7)), (8, 3)
"""Upper left corners of the parts, each 3 × 5 pixels."""
ARC = torch.tensor([[1, 0, 0, 0, 1], [1, 1, 0, 1, 1], [0, 1, 1, 1, 0]], dtype=torch.float32)
"""Open upwards: a mouth that smiles; turned upside down, eyes that smile."""
LINE = torch.tensor([[0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], dtype=torch.float32)
IMAGES = (32, 64, 128)
"""Training images."""
SEEDS = (0, 1, 2)
NEW = 400

Results = Mapping[int, Sequence[float]]
"""Number of training images → accuracy on new images of each seed."""


def where_it_does_not_help(seeds: Sequence[int] = SEEDS, numbers: Sequence[int] = IMAGES, steps: int = 100) -> Answer:
    """2b"""
    tasks: dict[str, dict[str, Results]] = {
        task: {
            name: {
                number: [learned(shared, task == "aligned", number, seed, steps) for seed in seeds]
                for number in numbers
            }
            for name, shared in (("convolution", True), ("locally connected", False))
        }
        for task in ("aligned", "shuffled")
    }
    few, most = numbers[0], numbers[-1]
    own, shared = tasks["aligned"]["locally connected"], tasks["aligned"]["convolution"]
    own_shuffled, shared_shuffled = tasks["shuffled"]["locally connected"], tasks["shuffled"]["convolution"]
    example, labels = faces(64, aligned=True, generator=torch.Generator().manual_seed(0))
    happy, sad = (example[labels == label][0, 0] for label in (1, 0))
    return Answer(
        "2b",
        "where weight sharing does not help",
        "where images are aligned and the same pattern means something else at another place, as in faces: an arc that is open "
        "upwards is a smile as a mouth, and sadness as an eye. Filters of their own at each position learn it, one filter "
        "for all positions sees the same pattern. Where positions are shuffled, sharing wins",
        (
            *(
                Condition(f"aligned, {n} images: locally connected, share right", tuple(own[n]), ">", 0.9)
                for n in numbers
            ),
            *(
                Condition(
                    f"aligned, {n} images: how much better than the convolution",
                    tuple(a - b for a, b in zip(own[n], shared[n], strict=True)),
                    ">",
                    0.05,
                )
                for n in numbers
            ),
            Condition(f"shuffled, {most} images: convolution, share right", tuple(shared_shuffled[most]), ">", 0.9),
            Condition(
                f"shuffled, {most} images: locally connected (guessing 0.5)", tuple(own_shuffled[most]), "<", 0.75
            ),
            *(
                Condition(
                    f"shuffled, {n} images: how much better the convolution is",
                    tuple(b - a for a, b in zip(own_shuffled[n], shared_shuffled[n], strict=True)),
                    ">",
                    0.05,
                )
                for n in numbers
            ),
        ),
        steps=(
            "each face has two eyes and a mouth; one of them, which differs from face to face, is an arc, the others lines",
            "happy: the mouth open upwards or an eye open downwards; sad: the other way round",
            "a convolution with the maximum over positions answers whether there is such an arc anywhere; only near "
            "the border, "
            "where padding shows the place, does it know more",
            "control: the parts lie anywhere, and an arc means the same everywhere",
            f"with {few} images each position has seen few arcs: without sharing each has to learn its own",
        ),
        experiment=f"drawn faces of {SIDE} × {SIDE} pixels in noise; one layer of 8 filters of 5 × 5, shared or not, "
        "maximum over "
        f"positions, classifier: happy or sad ({steps} steps of Adam, seeds {', '.join(map(str, seeds))}; share right "
        f"of {NEW} new "
        "faces)",
        tables=(
            Table(
                "share of new faces recognised, seed by seed",
                ("faces", "training images", "convolution", "locally connected"),
                tuple(
                    (task, n, *(tuple(round(one, 2) for one in results[n]) for results in nets.values()))
                    for task, nets in tasks.items()
                    for n in numbers
                ),
            ),
        ),
        panels=(
            *(
                Panel(
                    f"faces {task}",
                    "lines",
                    tuple(
                        Series(
                            f"{name}, seed {seed}", tuple(results[n][i] for n in numbers), tuple(map(float, numbers))
                        )
                        for name, results in nets.items()
                        for i, seed in enumerate(seeds)
                    ),
                    x_label="training images",
                    y_label="share of new faces recognised",
                    levels={"guessing": 0.5},
                    log_x=True,
                )
                for task, nets in tasks.items()
            ),
            Panel("a happy face, aligned, and a sad one", "image", values=_rows(torch.cat([happy, sad], dim=1))),
        ),
        sources=("Taigman et al. 2014, DeepFace, section 3",),
    )


def _rows(image: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in image.double().tolist())


def learned(shared: bool, aligned: bool, number: int, seed: int, steps: int) -> float:
    """Share of new faces that are recognised after training on so many."""
    generator = torch.Generator().manual_seed(seed)
    training, new = faces(number, aligned, generator), faces(NEW, aligned, generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = OneLayer(shared, (SIDE, SIDE), 2)
    fit(network, *training, steps, generator)
    return accuracy(network, *new)


def faces(number: int, aligned: bool, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Faces [N, 1, 12, 12] and 1 for happy, 0 for sad.

    Shuffled, the parts lie anywhere, and the arc means what a mouth's does.
    """
    labels = torch.randint(2, (number,), generator=generator)
    which = torch.randint(3, (number,), generator=generator)
    anywhere = torch.stack(
        [
            torch.randint(SIDE - 2, (number, 3), generator=generator),
            torch.randint(SIDE - 4, (number, 3), generator=generator),
        ],
        dim=2,
    )
    images = torch.zeros(number, 1, SIDE, SIDE)
    for image, label, arc, places in zip(images, labels.tolist(), which.tolist(), anywhere.tolist(), strict=True):
        if aligned:
            places = [*EYES, MOUTH]
        is_mouth = arc == 2 or not aligned
        for part in sorted(range(3), key=lambda one: one == arc):  # the arc last, on top of what it may meet
            row, column = places[part]
            upwards = bool(label) == is_mouth
            drawn = LINE if part != arc else ARC if upwards else ARC.flip(0)
            image[0, row : row + 3, column : column + 5] = drawn
    return images + 0.2 * torch.randn(images.shape, generator=generator), labels
