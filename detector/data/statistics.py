"""Statistics of a split, for which every file is decoded and every object counted."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, UnidentifiedImageError

from detector.data.images.decode import depth_used, stored_pixels
from detector.data.images.headers import MAX_BYTES, PILLOW_FORMATS, Source, check_file, parse_header
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
    notes: list[str] = field(default_factory=list)
    """How many files are read in a way that is no matter of course; a line each."""


def decode_all(index: Index) -> FileFindings:
    """Decodes every image file, on all cores; nothing for drawn data."""
    findings = FileFindings()
    if index.painter is not None:
        return findings
    peculiar: dict[str, list[str]] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = pool.map(_decode, index.files.tolist(), index.sizes.tolist(), itertools.repeat(index.as_stored))
        for i, (digest, problem, peculiarities) in enumerate(outcomes):
            if digest is not None:
                findings.contents[i] = digest
            if problem is not None:
                findings.problems.append(problem)
                findings.faulty.add(i)
            for one in peculiarities:
                peculiar.setdefault(one, []).append(_name(index, i))
    findings.notes = [f"{len(names)} × {what} (first: {names[0]})" for what, names in peculiar.items()]
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


def _decode(file: str, size: list[int], as_stored: bool) -> tuple[bytes | None, Problem | None, list[str]]:
    """The digest of the file, what is wrong, and what is peculiar about how it is read."""
    try:
        check_file(file)
        content = np.fromfile(file, dtype=np.uint8, count=MAX_BYTES)
    except ValueError as error:
        return None, Problem("missing image" if "missing" in str(error) else "unreadable image", file, str(error)), []
    except OSError as error:
        return None, Problem("missing image", file, error.strerror or str(error)), []
    digest = hashlib.blake2b(content.tobytes(), digest_size=16).digest()
    try:
        peculiarities = _pages(content)
        image, header = stored_pixels(content)
    except ValueError as error:
        return digest, Problem("unreadable image", file, str(error)), []
    peculiarities += _depth(image, header.maximum)
    seen = image.shape[:2] if as_stored else header.size
    if seen != tuple(size):
        what = f"the file is {seen[1]}x{seen[0]}, the annotation says {size[1]}x{size[0]}"
        if header.orientation >= 5 and seen == (size[1], size[0]):
            what += f": its EXIF orientation is {header.orientation}, and the annotation is of the unturned picture"
        return digest, Problem("wrong size", file, what), peculiarities
    return digest, None, peculiarities


def _pages(content: np.ndarray) -> list[str]:
    """Says that there are more pages or frames than the one that is read.

    Raises:
        ValueError: Pillow, which notices a JPEG that is cut off, does not read it to its end.
    """
    source = Source.of_bytes(content)
    header = parse_header(source)
    try:
        with source.stream() as stream, Image.open(stream, formats=PILLOW_FORMATS) as picture:
            if header.is_jpeg:
                picture.draft("RGB", (1, 1))  # it is read to its end but unpacked at an eighth of its size
                picture.load()
            elif getattr(picture, "n_frames", 1) > 1:
                return ["file with several pages or frames, of which the first is read"]
    except UnidentifiedImageError:  # what OpenCV alone reads
        pass
    except (OSError, ValueError, SyntaxError) as error:
        if header.is_jpeg:
            raise ValueError(f"is damaged: {error}") from None
    return []


def _depth(image: np.ndarray, maximum: int | None) -> list[str]:
    if image.dtype == np.uint8:
        return []
    if image.dtype == np.uint16:
        used = depth_used(image, maximum)
        return [f"picture of 16 bits a channel whose values use {used}, of which 8 are read"]
    return [f"picture of {image.dtype} numbers, read as 8 bits a channel"]


def _name(index: Index, i: int) -> str:
    return str(index.files[i]) or f"scene {index.image_id(i)}"
