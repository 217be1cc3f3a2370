"""What the processes of a training find in the validation images: brought together, and measured once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch.distributed

from detector.data.file_values import ids_of
from detector.data.index import Index
from detector.evaluation.evaluate import evaluate
from detector.evaluation.results import FlatResults
from detector.options import EvaluationEngine
from detector.types import Detections, ImageId


class Findings:
    """The detections of one process, image by image, as arrays: half a million dicts take seconds to make and to send."""

    def __init__(self) -> None:
        self._image_ids: list[ImageId] = []
        self._rows: list[np.ndarray] = []

    def add(self, image_id: ImageId, found: Detections) -> None:
        """The detections of one more image, in original pixels, in host memory."""
        rows = np.empty((len(found), 6))
        rows[:, :4], rows[:, 4], rows[:, 5] = found.boxes.numpy(), found.scores.numpy(), found.labels.numpy()
        rows[:, 2:4] -= rows[:, :2]
        self._image_ids.append(image_id)
        self._rows.append(rows)

    def flat(self, index: Index) -> FlatResults:
        """All of them as results of `index`."""
        position = {image_id: place for place, image_id in enumerate(ids_of(index.image_ids))}
        images = np.array([position[image_id] for image_id in self._image_ids], dtype=np.int64)
        rows = np.concatenate(self._rows) if self._rows else np.empty((0, 6))
        return FlatResults(
            images=np.repeat(images, [len(one) for one in self._rows]),
            labels=rows[:, 5].astype(np.int64),
            boxes=np.ascontiguousarray(rows[:, :4]),
            scores=np.ascontiguousarray(rows[:, 4]),
        )


def measure_together(
    index: Index, own: FlatResults, engine: EvaluationEngine, rank: int, processes: int
) -> tuple[dict[str, Any], FlatResults | None]:
    """The metrics of what all processes have found, on each of them; all results only on the first, which alone measures.

    The results are in the order of the images, as one process alone would have them.
    """
    if processes == 1:
        return evaluate(index, own, engine), own
    parts: list[Any] | None = [None] * processes if rank == 0 else None
    torch.distributed.gather_object(own, parts, dst=0)
    answer: list[Any] = [None]
    results = None
    if parts is not None:
        results = _together(parts)
        answer = [evaluate(index, results, engine)]
    torch.distributed.broadcast_object_list(answer, src=0)
    return answer[0], results


def _together(parts: list[FlatResults]) -> FlatResults:
    order = np.argsort(np.concatenate([part.images for part in parts]), kind="stable")
    return FlatResults(
        **{name: np.concatenate([getattr(part, name) for part in parts])[order] for name in FlatResults.__annotations__}
    )
