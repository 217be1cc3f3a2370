"""A trained detector applied to pictures, exactly as evaluation applies it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from detector.checkpoint import Checkpoint
from detector.data.dataset import DetectionDataset
from detector.data.free_memory import keep_freed_memory
from detector.data.images.letterbox import check_image_size
from detector.data.index import AnnotatedObjects, Index, assemble
from detector.data.paths import header_sizes
from detector.errors import UserError
from detector.inference.folding import fold_batch_norms
from detector.inference.precision import compute_in, dtype_of
from detector.models.detector import Detector, detect_batch
from detector.models.stages import StageTimer, stage
from detector.resolve import resize_of
from detector.types import Batch, Detections, Target

Picture = str | Path | np.ndarray | Image.Image
"""A path; uint8 [H, W, 3] RGB; or a PIL image."""


class Predictor:
    """The detector of a checkpoint on its device, in evaluation mode.

    Args:
        checkpoint: see `detector.checkpoint.open_checkpoint`.
        image_size: side of the square that the model sees, in pixels; by default the one that it was trained at.
        accelerator: auto | cpu | gpu.
        precision: auto | fp32 | bf16 | fp16; see `detector.inference.precision.dtype_of`.

    The network is a copy of its own, with batch norms folded into convolutions: its weights are none to train on.

    Raises:
        UserError: an image size that is no positive multiple of 32, an accelerator that is not there, or a word for the
            precision that is none of these.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        image_size: int | None = None,
        accelerator: str = "auto",
        precision: str = "fp32",
    ) -> None:
        self.image_size = checkpoint.options.image_size if image_size is None else image_size
        check_image_size(self.image_size)
        self.resize = resize_of(checkpoint.options.model)
        self.checkpoint = checkpoint
        self.device = choose_device(accelerator)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.dtype = dtype_of(precision, self.device)
        network: Any = checkpoint.detector()
        convolutions = fold_batch_norms(network)
        network = network.to(self.device)
        if checkpoint.run is None or checkpoint.run.trainer.channels_last:
            network = network.to(memory_format=torch.channels_last)
        compute_in(network, self.dtype, self.device, convolutions)
        self._detector: Detector = network

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of label 0, 1, ..."""
        return self.checkpoint.class_names

    @property
    def history(self) -> tuple[dict[str, float], ...]:
        """What each evaluation of the run up to this checkpoint measured; see `Checkpoint.history`."""
        return self.checkpoint.history

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is a sequence of str; it means one path
        self, pictures: Picture, score: float = ..., batch_size: int = ...
    ) -> Detections: ...

    @overload
    def predict(self, pictures: Sequence[Picture], score: float = ..., batch_size: int = ...) -> list[Detections]: ...

    def predict(
        self, pictures: Picture | Sequence[Picture], score: float = 0.3, batch_size: int = 8
    ) -> Detections | list[Detections]:
        """What is found in a picture, or in each picture of a sequence.

        Args:
            pictures: paths, RGB arrays uint8 [H, W, 3] or PIL images, of any sizes. A large JPEG given by its path is
                decoded at a reduced size, as in evaluation; given as an array it is reduced afterwards, so that scores
                may differ in the third digit.
            score: smallest score, 0..1.
            batch_size: pictures that go through the model together.

        Returns:
            On the CPU, best first, boxes in pixels of the picture as EXIF turns it.

        Raises:
            UserError: a picture cannot be read or is of another kind, or `score` is not in 0..1.
        """
        if not 0 <= score <= 1:
            raise UserError(f"score={score:g}: a score is in 0..1")
        if batch_size < 1:
            raise UserError(f"batch_size={batch_size}: at least 1 picture goes through the model at a time")
        if isinstance(pictures, Picture):
            return _at_least(self.detect(self.preprocess([pictures])), score)[0]
        return [
            found
            for start in range(0, len(pictures), batch_size)
            for found in _at_least(self.detect(self.preprocess(pictures[start : start + batch_size])), score)
        ]

    def preprocess(self, pictures: Sequence[Picture], clock: StageTimer | None = None) -> Batch:
        """The pictures as the model sees them: the batch that evaluation would make of them, without objects.

        Where the model asks for proposals, they are searched for here, on the whole picture as for evaluation. `clock`
        measures the search where another thread than the model's does it.
        """
        samples = [self._sample(_index(picture), clock) for picture in pictures]
        return Batch(torch.stack([image for image, _ in samples]), [target for _, target in samples])

    def _sample(self, index: Index, clock: StageTimer | None) -> tuple[Tensor, Target]:
        request = self.checkpoint.options.model.proposal_request()
        if request is None:
            return DetectionDataset(index, self.image_size, resize=self.resize)[0, 0]
        with stage("proposals") if clock is None else clock.measuring("proposals"):
            proposals = request.search(index.image(0))[: request.limit]
        return DetectionDataset(index, self.image_size, proposals=lambda _: proposals, resize=self.resize)[0, 0]

    @torch.inference_mode()
    def detect(self, batch: Batch) -> list[Detections]:
        """All detections of each image of a batch, on the CPU, in pixels of the original images, best first."""
        return detect_originals(self._detector, batch, self.device)


def detect_originals(detector: Detector, batch: Batch, device: torch.device) -> list[Detections]:
    """What a detector on `device` finds in a batch in host memory: on the CPU, in pixels of the original images, best first."""
    found = detect_batch(detector, batch.to(device, non_blocking=True))
    return [
        one.cpu().to_original(target.transform, target.original_size)
        for one, target in zip(found, batch.targets, strict=True)
    ]


def choose_device(accelerator: str) -> torch.device:
    """The device of an `accelerator` of the configuration: auto | cpu | gpu.

    Raises:
        UserError: it is none of these, or there is no GPU.
    """
    gpu = torch.cuda.is_available()
    match accelerator:
        case "auto":
            return torch.device("cuda" if gpu else "cpu")
        case "cpu":
            return torch.device("cpu")
        case "gpu" if gpu:
            return torch.device("cuda")
        case "gpu":
            raise UserError("accelerator=gpu: PyTorch finds no GPU here; accelerator=cpu works everywhere")
        case other:
            raise UserError(f"accelerator={other}: choose one of auto, cpu, gpu")


def _at_least(detections: Sequence[Detections], score: float) -> list[Detections]:
    return [found[found.scores >= score] for found in detections]


def _index(picture: Picture) -> Index:
    """A picture as an index of one image without objects, which the data set of evaluation takes."""
    if isinstance(picture, str | Path):
        sizes = header_sizes([str(picture)])
        if not sizes.all():
            state = "cannot be read as an image" if Path(picture).is_file() else "is no file"
            raise UserError(f"image {picture} {state}")
        return _without_objects(str(picture), sizes)
    pixels = _pixels(picture)
    index = _without_objects("", np.array([pixels.shape[:2]]))
    return replace(index, painter=lambda _: pixels)


def _without_objects(file: str, sizes: np.ndarray) -> Index:
    return assemble((), (), [0], [file], sizes, AnnotatedObjects([], [], [], [], where=str))


def _pixels(picture: np.ndarray | Image.Image) -> np.ndarray:
    if isinstance(picture, Image.Image):
        if picture.mode[0] in "IF":
            raise UserError(f"a PIL image of mode {picture.mode}: 8 bits a channel are expected, for example mode RGB")
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        shape = ", ".join(map(str, picture.shape))
        raise UserError(f"an array {picture.dtype} [{shape}]: a picture is uint8 [height, width, 3], RGB")
    return np.ascontiguousarray(picture)
