from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing

from detector.data.index import AnnotatedObjects, Index, assemble
from detector.evaluation.evaluate import evaluate
from detector.evaluation.results import FlatResults, flatten, write_flat_results, write_results
from detector.training import measuring
from detector.training.measuring import Findings, measure_together
from detector.types import Detections

IMAGES = 9
CATEGORY_IDS = (17, 3)


def index_of(image_ids: list[Any]) -> Index:
    random = np.random.default_rng(0)
    corners = 20.0 * random.integers(0, 3, (2 * IMAGES, 2))
    objects = AnnotatedObjects(
        boxes=np.concatenate([corners, corners + 30], axis=1),
        labels=random.integers(0, 2, 2 * IMAGES),
        owners=np.repeat(np.arange(IMAGES), 2),
        crowd=np.zeros(2 * IMAGES, dtype=bool),
        where=str,
    )
    return assemble(("cat", "dog"), CATEGORY_IDS, image_ids, [""] * IMAGES, np.full((IMAGES, 2), 100), objects)


def found_in(image: int) -> Detections:
    """None in image 4; scores that several images share."""
    random = torch.Generator().manual_seed(image)
    number = 0 if image == 4 else 6
    corners = 20 * torch.randint(0, 3, (number, 2), generator=random) + 3 * torch.rand(number, 2, generator=random)
    scores = torch.randint(1, 9, (number,), generator=random) / 9
    labels = torch.randint(0, 2, (number,), generator=random)
    return Detections(torch.cat([corners, corners + 30], dim=1), scores.sort(descending=True).values, labels)


def equal(one: FlatResults, other: FlatResults) -> bool:
    return all(np.array_equal(value, getattr(other, name)) for name, value in vars(one).items())


@pytest.mark.parametrize("image_ids", [[f'"{i}é' for i in range(IMAGES)], list(range(100, 100 + IMAGES))])
def test_findings_are_the_arrays_of_the_entries_and_are_written_as_they_are(
    image_ids: list[Any], tmp_path: Path
) -> None:
    index = index_of(image_ids)
    findings, entries = Findings(), []
    for image in reversed(range(IMAGES)):
        findings.add(image_ids[image], found_in(image))
        entries += found_in(image).to_coco(image_ids[image], CATEGORY_IDS)
    flat = findings.flat(index)
    assert len(flat.scores) == 6 * (IMAGES - 1)
    assert equal(flat, flatten(index, entries))
    for name, results in (("some", entries), ("none", [])):
        write_results(tmp_path / f"{name}.json", results)
        write_flat_results(tmp_path / f"{name}.flat.json", index, flatten(index, results))
        assert (tmp_path / f"{name}.flat.json").read_bytes() == (tmp_path / f"{name}.json").read_bytes()
    assert len(Findings().flat(index).scores) == 0


def _process(rank: int, folder: str) -> None:
    """Every second image is this process's; saves what it is told, and how often it has measured."""
    torch.distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    calls = 0

    def counted(*arguments: Any) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        return evaluate(*arguments)

    measuring.evaluate = counted  # type: ignore[assignment]
    index, findings = index_of(list(range(IMAGES))), Findings()
    for image in range(rank, IMAGES, 2):
        findings.add(image, found_in(image))
    metrics, results = measure_together(index, findings.flat(index), "ultrafast", rank, 2)
    arrays = None if results is None else {name: torch.from_numpy(value) for name, value in vars(results).items()}
    torch.save({"metrics": metrics, "results": arrays, "calls": calls}, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_of_two_processes_the_first_measures_and_both_know_what_one_alone_measures(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_process, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    index, findings = index_of(list(range(IMAGES))), Findings()
    for image in range(IMAGES):
        findings.add(image, found_in(image))
    alone = findings.flat(index)
    assert first["metrics"] == second["metrics"] == evaluate(index, alone)
    assert first["metrics"]["AP"] > 0
    assert (first["calls"], second["calls"]) == (1, 0)
    assert second["results"] is None
    assert equal(FlatResults(**{name: value.numpy() for name, value in first["results"].items()}), alone)
