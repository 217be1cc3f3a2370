"""A thorough look at a split: every file decoded, every object counted."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from detector.data.index import Index, Problem

SMALL, MEDIUM = 32**2, 96**2
"""Areas in original pixels² below which COCO calls an object small or medium."""
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class Statistics:
    """What a split holds."""

    images: int
    without_objects: int
    objects: int
    crowds: int
    per_class: tuple[int, ...]
    """Objects of each label, crowds included."""
    per_size: tuple[int, int, int]
    """Objects that COCO calls small, medium, large, by their annotated area."""
    sides: tuple[float, ...]
    """√(width · height) of the boxes at the model's input size, in pixels, at QUANTILES; empty without objects."""


def statistics(index: Index, image_size: int) -> Statistics:
    """Counts and sizes; `image_size` is the side to which the model scales an image's long side."""
    per_image = np.diff(index.offsets)
    scale = image_size / index.sizes.max(axis=1, initial=1)
    size = (index.boxes[:, 2:] - index.boxes[:, :2]).astype(np.float64)
    sides = np.sqrt(size.prod(axis=1)) * np.repeat(scale, per_image)
    small, medium = int((index.area < SMALL).sum()), int((index.area < MEDIUM).sum())
    return Statistics(
        images=len(index),
        without_objects=int((per_image == 0).sum()),
        objects=len(index.boxes),
        crowds=int(index.crowd.sum()),
        per_class=tuple(np.bincount(index.labels, minlength=len(index.class_names)).tolist()),
        per_size=(small, medium - small, len(index.boxes) - medium),
        sides=tuple(np.quantile(sides, QUANTILES).tolist()) if len(sides) else (),
    )


def duplicate_boxes(index: Index) -> list[Problem]:
    """Objects of one image with the same label and the same box."""
    owners = np.repeat(np.arange(len(index)), np.diff(index.offsets))
    rows = np.column_stack([owners, index.labels, index.boxes.astype(np.float64)])
    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    problems = []
    for row, count in zip(distinct[counts > 1], counts[counts > 1].tolist(), strict=True):
        corners = ", ".join(f"{value:.6g}" for value in row[2:])
        what = f"{index.class_names[int(row[1])]} at xyxy ({corners}) is annotated {count} times"
        problems.append(Problem("duplicate box", _name(index, int(row[0])), what))
    return problems


@dataclass
class FileFindings:
    """What decoding all images of a split shows."""

    problems: list[Problem] = field(default_factory=list)
    faulty: set[int] = field(default_factory=set)
    """Positions of images that cannot be used."""
    contents: dict[int, bytes] = field(default_factory=dict)
    """Position → digest of the file's bytes."""


def decode_all(index: Index) -> FileFindings:
    """Decodes every image file, on all cores; nothing for drawn data."""
    findings = FileFindings()
    if index.painter is not None:
        return findings
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = pool.map(_decode, index.files.tolist(), index.sizes.tolist(), itertools.repeat(index.as_stored))
        for i, (digest, problem) in enumerate(outcomes):
            if digest is not None:
                findings.contents[i] = digest
            if problem is not None:
                findings.problems.append(problem)
                findings.faulty.add(i)
    return findings


def repeated_images(splits: Mapping[str, tuple[Index, FileFindings]]) -> list[Problem]:
    """Files with the same bytes, in two splits or twice in one."""
    places: dict[bytes, list[tuple[str, str]]] = {}
    for split, (index, findings) in splits.items():
        for i, digest in findings.contents.items():
            places.setdefault(digest, []).append((split, _name(index, i)))
    problems = []
    for (first_split, first), *others in places.values():
        for split, name in others:
            kind = "image in two splits" if split != first_split else "repeated image"
            problems.append(Problem(kind, name, f"{split} has the same picture as {first} in {first_split}"))
    return problems


def _decode(file: str, size: list[int], as_stored: bool) -> tuple[bytes | None, Problem | None]:
    """The digest of the file and what is wrong. Pillow notices a truncated file; OpenCV is what training uses."""
    try:
        content = Path(file).read_bytes()
    except OSError as error:
        return None, Problem("missing image", file, error.strerror or str(error))
    digest = hashlib.blake2b(content, digest_size=16).digest()
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.draft("RGB", (1, 1))  # a JPEG is read to its end but unpacked at an eighth of its size
            picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        return digest, Problem("unreadable image", file, reason)
    flag = cv2.IMREAD_COLOR | (cv2.IMREAD_IGNORE_ORIENTATION if as_stored else 0)
    image = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), flag)
    if image is None:
        return digest, Problem(
            "unreadable image", file, "OpenCV cannot decode this kind of file: save it as JPEG or PNG"
        )
    height, width = size
    if image.shape[:2] != (height, width):
        what = f"the file is {image.shape[1]}x{image.shape[0]}, the annotation says {width}x{height}"
        return digest, Problem("wrong size", file, what)
    return digest, None


def _name(index: Index, i: int) -> str:
    return str(index.files[i]) or f"scene {index.image_id(i)}"
