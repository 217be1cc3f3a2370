"""One split of a data set as flat arrays, whatever files it was read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from detector.data.annotations import Annotations, offsets_of, rows_of
from detector.data.file_values import id_array, id_of
from detector.data.images.decode import decode
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
    file: str | None = field(default=None, compare=False)
    """The image file that it is about, where `where` is another file."""
    box: tuple[float, float, float, float] | None = field(default=None, compare=False)
    """The box that it is about, as xyxy in pixels of that image."""


@dataclass
class Index:
    """I images with N objects: what a split holds, without a pixel.

    Arrays with offsets, so that loader processes share the memory instead of copying objects. The objects
    that a detector is trained on are those of `boxes`; the ones of image i are the rows `offsets[i]:offsets[i + 1]`.
    Measuring uses `annotations` alone.
    """

    class_names: tuple[str, ...]
    """The label space: name of label 0, 1, ... It is the data set's, also where a split lacks a class."""
    category_ids: tuple[ImageId, ...]
    """The data's own id of each label."""
    image_ids: np.ndarray
    """[I] unique, as `id_array` makes them; `image_id` gives each as it was."""
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
    """float32 [N], pixels², as in `annotations`."""
    annotations: Annotations
    """All objects with the numbers of their files."""
    problems: list[Problem] = field(default_factory=list)
    """Found while reading."""
    notes: list[str] = field(default_factory=list)
    """How the files were understood where that is no matter of course; a line each, for the user."""
    as_stored: bool = False
    """The annotations speak of the pictures before EXIF turns them: they are read unturned."""
    painter: Callable[[ImageId], np.ndarray] | None = None
    """Image id → uint8 [H, W, 3] RGB, for data that is drawn, or in memory (`InMemory`), instead of read from `files`."""

    def __len__(self) -> int:
        return len(self.image_ids)

    def image_id(self, i: int) -> ImageId:
        """The id of image `i` as a plain int or str."""
        return id_of(self.image_ids, i)

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
        """Image `i` as uint8 [H, W, 3] RGB, turned as its EXIF orientation says, unless the index is `as_stored`.

        Raises:
            UserError: the file is missing, cannot be decoded, or has another size than its annotation says.
        """
        if self.painter is not None:
            return self.painter(self.image_id(i))
        image = decode(str(self.files[i]), turned=not self.as_stored)
        height, width = self.sizes[i].tolist()
        if image.shape[:2] != (height, width):
            if decode(str(self.files[i]), turned=self.as_stored).shape[:2] == (height, width) != image.shape[:2]:
                other = "after" if self.as_stored else "before"
                raise UserError(
                    f"{self.files[i]}: its annotation says {width}x{height}, its size {other} EXIF turns it, so its boxes "
                    f"belong to the picture {other} that, unlike those of other pictures: correct this annotation"
                )
            raise UserError(
                f"{self.files[i]} is {image.shape[1]}x{image.shape[0]} pixels, its annotation says {width}x{height}: "
                "correct the size in the annotation (detector check_data lists all such files)"
            )
        return image

    def subset(self, indices: Sequence[int] | np.ndarray) -> Index:
        """The images at `indices`, in that order, with the whole label space."""
        chosen = np.asarray(indices, dtype=np.int64)
        offsets, rows = rows_of(self.offsets, chosen)
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
            annotations=self.annotations.subset(chosen),
        )


@dataclass
class InMemory:
    """A `painter` for images that are arrays already: `index.painter = InMemory({"a": array, "b": array})`."""

    images: Mapping[ImageId, np.ndarray]
    """Image id → uint8 [H, W, 3] RGB."""

    def __call__(self, image_id: ImageId) -> np.ndarray:
        """The image of that id, uint8 [H, W, 3] RGB."""
        return self.images[image_id]


@dataclass
class AnnotatedObjects:
    """Annotated objects as a format gives them, in any order, before they are checked against their images."""

    owners: Sequence[int] | np.ndarray
    """[N] position of the image that each object lies in."""
    boxes: Sequence[Sequence[float]] | np.ndarray
    """[N, 4] xyxy in continuous pixels, to train on; any values."""
    labels: Sequence[int] | np.ndarray
    """[N] in 0..K−1."""
    crowd: Sequence[bool] | np.ndarray
    where: Callable[[int], str]
    """Names object n in a report: file and line or entry."""
    area: Sequence[float] | np.ndarray | None = None
    """[N] pixels², not above 0 or not finite where not annotated; None where the format has none."""
    written: Sequence[Sequence[float]] | np.ndarray | None = None
    """[N, 4] x, y, width, height in pixels, exactly as the file has them, to measure with; from `boxes` where None."""


def assemble(
    class_names: Sequence[str],
    category_ids: Sequence[ImageId],
    image_ids: Sequence[ImageId],
    files: Sequence[str],
    sizes: np.ndarray,
    objects: AnnotatedObjects,
    problems: Sequence[Problem] = (),
) -> Index:
    """An index that trains on the objects whose boxes have an area inside their image, and measures with all of them.

    For training, boxes that reach over the edge are cut; those cut by more than `ROUNDING` pixels or left out go to
    `problems`. For measuring they stay as they are; a box that is not finite cannot be measured.
    """
    sizes = np.asarray(sizes, dtype=np.int32).reshape(-1, 2)
    owners = np.asarray(objects.owners, dtype=np.int64)
    raw = np.asarray(objects.boxes, dtype=np.float64).reshape(-1, 4)
    cut = np.clip(raw, 0, sizes[:, [1, 0, 1, 0]].astype(np.float64)[owners])

    written = _written(objects, raw)
    trained = cut.astype(np.float32)
    finite = ~_in_any_column(~np.isfinite(written)) & ~_in_any_column(~np.isfinite(raw))
    degenerate = finite & _in_any_column(raw[:, 2:] <= raw[:, :2])
    outside = finite & ~degenerate & _in_any_column(trained[:, 2:] <= trained[:, :2])
    keep = finite & ~degenerate & ~outside
    over_edge = keep & _in_any_column(np.abs(raw - cut) > ROUNDING)

    found = list(problems)
    for kind, faulty, done in (
        ("malformed annotation", ~finite, "skipped"),
        ("degenerate box", degenerate, "not trained on:"),
        ("box outside", outside, "not trained on:"),
        ("box partly outside", over_edge, "cut for training:"),
    ):
        for n in np.flatnonzero(faulty).tolist():
            height, width = sizes[owners[n]].tolist()
            corners = ", ".join(f"{value:.6g}" for value in raw[n])
            x1, y1, x2, y2 = raw[n].tolist()
            what = f"{done} xyxy ({corners}) in an image of {width}x{height}"
            found.append(Problem(kind, objects.where(n), what, str(files[owners[n]]), (x1, y1, x2, y2)))

    labels, crowd = np.asarray(objects.labels, dtype=np.int64), np.asarray(objects.crowd, dtype=np.bool_)
    area = _area(objects, written)
    by_image = np.argsort(owners, kind="stable")
    measured, rows = by_image[finite[by_image]], by_image[keep[by_image]]
    measured_labels, measured_crowd = labels[measured], crowd[measured]
    all_trained = len(rows) == len(measured)  # as in most data: what is equal is kept once
    return Index(
        class_names=tuple(class_names),
        category_ids=tuple(category_ids),
        image_ids=id_array(image_ids),
        files=np.asarray(files, dtype=np.str_),
        sizes=sizes,
        offsets=offsets_of(np.bincount(owners[rows], minlength=len(sizes))),
        boxes=trained[rows],
        labels=measured_labels if all_trained else labels[rows],
        crowd=measured_crowd if all_trained else crowd[rows],
        area=np.minimum(area[rows], np.finfo(np.float32).max).astype(np.float32),
        annotations=Annotations(
            offsets_of(np.bincount(owners[measured], minlength=len(sizes))),
            written[measured],
            area[measured],
            measured_labels,
            measured_crowd,
        ),
        problems=found,
    )


def _in_any_column(flags: np.ndarray) -> np.ndarray:
    """bool [N] of bool [N, C]; numpy's own `any` takes several times as long for few columns."""
    return np.logical_or.reduce(list(flags.T))


def _written(objects: AnnotatedObjects, corners: np.ndarray) -> np.ndarray:
    if objects.written is not None:
        return np.asarray(objects.written, dtype=np.float64).reshape(-1, 4)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)


def _area(objects: AnnotatedObjects, written: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", over="ignore"):
        area = written[:, 2] * written[:, 3]
    if objects.area is None:
        return area
    annotated = np.asarray(objects.area, dtype=np.float64)
    return np.where(np.isfinite(annotated) & (annotated > 0), annotated, area)


def in_order(index: Index, class_names: Sequence[str]) -> Index:
    """The index with its classes in the order of `class_names`, which are the same names; category ids stay the data's own."""
    if index.class_names == tuple(class_names):
        return index
    place = {name: label for label, name in enumerate(class_names)}
    new_label = np.array([place[name] for name in index.class_names], dtype=np.int64)
    own_id = dict(zip(index.class_names, index.category_ids, strict=True))
    return replace(
        index,
        class_names=tuple(class_names),
        category_ids=tuple(own_id[name] for name in class_names),
        labels=new_label[index.labels],
        annotations=replace(index.annotations, labels=new_label[index.annotations.labels]),
    )
