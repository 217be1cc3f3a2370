"""One split of a data set as flat arrays, whatever files it was read from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from detector.errors import UserError
from detector.types import ImageId, Target

ROUNDING = 0.5
"""Pixels that a box may reach over the image's edge before it is reported: fewer digits in the file cost that much."""


@dataclass(frozen=True)
class Problem:
    """Something wrong with the data and what was done about it."""

    kind: str
    """What it is, in the plural-forming words of a summary: "degenerate box", "missing image"."""
    where: str
    """File, with the line or the entry."""
    what: str
    """The values that are wrong."""


@dataclass
class Index:
    """I images with N objects: what a split holds, without a pixel.

    Arrays with offsets, so that loader processes share the memory instead of copying objects. The objects of
    image i are the rows `offsets[i]:offsets[i + 1]`.
    """

    class_names: tuple[str, ...]
    """The label space: name of label 0, 1, ... It is the data set's, also where a split lacks a class."""
    category_ids: tuple[int, ...]
    """The data's own id of each label."""
    image_ids: np.ndarray
    """[I] int64 or fixed-width unicode, unique."""
    files: np.ndarray
    """[I] unicode paths; empty where the image is drawn."""
    sizes: np.ndarray
    """int32 [I, 2]: (height, width), as the image is seen after its EXIF orientation."""
    offsets: np.ndarray
    """int64 [I + 1]."""
    boxes: np.ndarray
    """float32 [N, 4] xyxy, continuous pixels, inside the image."""
    labels: np.ndarray
    """int64 [N] in 0..K−1."""
    crowd: np.ndarray
    """bool [N]: COCO's iscrowd, VOC's difficult."""
    area: np.ndarray
    """float32 [N], pixels², as annotated; of the box where the format has no area."""
    problems: list[Problem] = field(default_factory=list)
    """Found while reading."""
    painter: Callable[[ImageId], np.ndarray] | None = None
    """Image id → uint8 [H, W, 3] RGB, for data that is drawn instead of read from `files`."""

    def __len__(self) -> int:
        return len(self.image_ids)

    def image_id(self, i: int) -> ImageId:
        """The id of image `i` as a plain int or str."""
        return self.image_ids[i].item()

    def where(self, i: int) -> str:
        """The file of image `i`, or its id where it is drawn."""
        return str(self.files[i]) if self.painter is None else f"image {self.image_id(i)}"

    def target(self, i: int) -> Target:
        """The objects of image `i` in original pixels (the transform is the identity)."""
        rows = slice(int(self.offsets[i]), int(self.offsets[i + 1]))
        height, width = self.sizes[i].tolist()
        return Target(
            boxes=torch.from_numpy(self.boxes[rows].copy()),
            labels=torch.from_numpy(self.labels[rows].copy()),
            crowd=torch.from_numpy(self.crowd[rows].copy()),
            area=torch.from_numpy(self.area[rows].copy()),
            image_id=self.image_id(i),
            original_size=(height, width),
            transform=torch.eye(3),
        )

    def image(self, i: int) -> np.ndarray:
        """Image `i` as uint8 [H, W, 3] RGB, turned as its EXIF orientation says.

        Raises:
            UserError: the file is missing, cannot be decoded, or has another size than its annotation says.
        """
        if self.painter is not None:
            return self.painter(self.image_id(i))
        image = decode(str(self.files[i]))
        height, width = self.sizes[i].tolist()
        if image.shape[:2] != (height, width):
            raise UserError(
                f"{self.files[i]} is {image.shape[1]}x{image.shape[0]} pixels, its annotation says {width}x{height}: "
                "correct the size in the annotation (scripts/check_data.py lists all such files)"
            )
        return image

    def subset(self, indices: Sequence[int] | np.ndarray) -> Index:
        """The images at `indices`, in that order, with the whole label space."""
        chosen = np.asarray(indices, dtype=np.int64)
        counts = np.diff(self.offsets)[chosen]
        offsets = _offsets(counts)
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[chosen] - offsets[:-1], counts)
        return replace(
            self,
            image_ids=self.image_ids[chosen],
            files=self.files[chosen],
            sizes=self.sizes[chosen],
            offsets=offsets,
            boxes=self.boxes[rows],
            labels=self.labels[rows],
            crowd=self.crowd[rows],
            area=self.area[rows],
        )


def decode(file: str, flag: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """An image file as uint8 [H, W, 3] RGB, EXIF orientation applied; grey becomes RGB, 16 bit becomes 8, alpha goes.

    `flag` is one of OpenCV's for colour, e.g. `cv2.IMREAD_REDUCED_COLOR_2` for half the size.

    Raises:
        UserError: the file is missing, cannot be decoded or is a JPEG whose end is missing.
    """
    advice = "(scripts/check_data.py lists all such files)"
    if not Path(file).is_file():
        raise UserError(f"image {file} is missing {advice}")
    content = np.fromfile(file, dtype=np.uint8)
    if _lacks_its_end(content):
        raise UserError(f"image {file} is damaged: the end of the JPEG is missing {advice}")
    image = cv2.imdecode(content, flag) if content.size else None
    if image is None:
        raise UserError(f"image {file} cannot be decoded: the file is damaged or no image {advice}")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def _lacks_its_end(content: np.ndarray) -> bool:
    """A JPEG without its end marker in the second half: OpenCV would fill up with grey. A camera may add data behind it."""
    if content[:2].tobytes() != b"\xff\xd8":
        return False
    return content[content.size // 2 :].tobytes().rfind(b"\xff\xd9") < 0


@dataclass
class Objects:
    """Annotated objects as a format gives them, in any order, before they are checked against their images."""

    owners: Sequence[int] | np.ndarray
    """[N] position of the image that each object lies in."""
    boxes: Sequence[Sequence[float]] | np.ndarray
    """[N, 4] xyxy in continuous pixels; any values."""
    labels: Sequence[int] | np.ndarray
    """[N] in 0..K−1."""
    crowd: Sequence[bool] | np.ndarray
    where: Callable[[int], str]
    """Names object n in a report: file and line or entry."""
    area: Sequence[float] | np.ndarray | None = None
    """[N] pixels², NaN where not annotated; None where the format has none."""


def assemble(
    class_names: Sequence[str],
    category_ids: Sequence[int],
    image_ids: Sequence[ImageId],
    files: Sequence[str],
    sizes: np.ndarray,
    objects: Objects,
    problems: Sequence[Problem] = (),
) -> Index:
    """An index of the objects whose boxes have an area inside their image.

    Boxes that reach over the edge are cut; those cut by more than `ROUNDING` pixels or left out go to `problems`.
    """
    sizes = np.asarray(sizes, dtype=np.int32).reshape(-1, 2)
    owners = np.asarray(objects.owners, dtype=np.int64)
    raw = np.asarray(objects.boxes, dtype=np.float64).reshape(-1, 4)
    limits = sizes[owners][:, [1, 0, 1, 0]].astype(np.float64)
    cut = np.clip(raw, 0, limits)

    finite = np.isfinite(raw).all(axis=1)
    degenerate = ~finite | (raw[:, 2:] <= raw[:, :2]).any(axis=1)
    outside = ~degenerate & (cut[:, 2:].astype(np.float32) <= cut[:, :2].astype(np.float32)).any(axis=1)
    keep = ~degenerate & ~outside
    over_edge = keep & (np.abs(raw - cut) > ROUNDING).any(axis=1)

    found = list(problems)
    for kind, faulty in (("degenerate box", degenerate), ("box outside", outside), ("box partly outside", over_edge)):
        for n in np.flatnonzero(faulty).tolist():
            height, width = sizes[owners[n]].tolist()
            corners = ", ".join(f"{value:.6g}" for value in raw[n])
            done = "cut" if kind == "box partly outside" else "skipped"
            found.append(Problem(kind, objects.where(n), f"{done} xyxy ({corners}) in an image of {width}x{height}"))

    rows = np.flatnonzero(keep)
    rows = rows[np.argsort(owners[rows], kind="stable")]
    boxes = cut[rows].astype(np.float32)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    if objects.area is not None:
        annotated = np.asarray(objects.area, dtype=np.float32)[rows]
        area = np.where(np.isnan(annotated), area, annotated)
    return Index(
        class_names=tuple(class_names),
        category_ids=tuple(category_ids),
        image_ids=np.asarray(image_ids, dtype=np.int64 if all(isinstance(i, int) for i in image_ids) else np.str_),
        files=np.asarray(files, dtype=np.str_),
        sizes=sizes,
        offsets=_offsets(np.bincount(owners[rows], minlength=len(sizes))),
        boxes=boxes,
        labels=np.asarray(objects.labels, dtype=np.int64)[rows],
        crowd=np.asarray(objects.crowd, dtype=np.bool_)[rows],
        area=area,
        problems=found,
    )


def _offsets(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
