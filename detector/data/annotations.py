"""Annotated objects as their files have them, for measuring: neither cut, nor rounded, nor left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Annotations:
    """M objects of I images with the numbers of their files.

    An object that no detector can be trained on, for its box has no area in the image, is among them: whoever defines
    the measure counts it as one that is to be found. The objects of image i are the rows `offsets[i]:offsets[i + 1]`, in
    the order of the file.
    """

    offsets: np.ndarray
    """int64 [I + 1]."""
    boxes: np.ndarray
    """float64 [M, 4]: x, y, width, height in pixels; finite, the width and the height may be zero or negative."""
    area: np.ndarray
    """float64 [M], pixels²: as annotated where that is finite and above 0, else width · height."""
    labels: np.ndarray
    """int64 [M] in 0..K−1."""
    crowd: np.ndarray
    """bool [M]: COCO's iscrowd, VOC's difficult."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def owners(self) -> np.ndarray:
        """int64 [M]: the place in the index of each object's image."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    @property
    def corners(self) -> np.ndarray:
        """float64 [M, 4]: xyxy, continuous pixels."""
        return np.concatenate([self.boxes[:, :2], self.boxes[:, :2] + self.boxes[:, 2:]], axis=1)

    def rows(self, image: int) -> slice:
        """The objects of the image at the place `image`."""
        return slice(int(self.offsets[image]), int(self.offsets[image + 1]))

    def subset(self, images: np.ndarray) -> Annotations:
        """The objects of the images at the places `images`, int64 [J], in that order."""
        offsets, rows = rows_of(self.offsets, images)
        return Annotations(offsets, self.boxes[rows], self.area[rows], self.labels[rows], self.crowd[rows])


def rows_of(offsets: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """New offsets, int64 [J + 1], and rows, int64, of the images at the places `images`, int64 [J], in that order."""
    counts = np.diff(offsets)[images]
    new = offsets_of(counts)
    return new, np.arange(new[-1]) + np.repeat(offsets[images] - new[:-1], counts)


def offsets_of(counts: np.ndarray) -> np.ndarray:
    """int64 [I + 1]: where the rows of each image begin, and the end, for [I] numbers of rows."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
