"""What is wrong with the image files of a split, each of which is decoded, and what other checks need of each picture."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, UnidentifiedImageError

from detector.data.checks.labels import crops
from detector.data.checks.picture_hash import thumbnail
from detector.data.images.decode import depth_used, eight_bits, stored_pixels, upright
from detector.data.images.headers import PILLOW_FORMATS, Header, Source, check_file, parse_header
from detector.data.index import Index, Problem

_GPS = 0x8825


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
    thumbnails: dict[int, np.ndarray] = field(default_factory=dict)
    """Position → `picture_hash.thumbnail` of a picture that can be used."""
    crops: dict[int, np.ndarray] = field(default_factory=dict)
    """Position → `labels.crops` of its objects."""


@dataclass
class _Decoded:
    digest: bytes | None = None
    problem: Problem | None = None
    peculiarities: list[str] = field(default_factory=list)
    thumbnail: np.ndarray | None = None
    crops: np.ndarray | None = None


def decode_all(index: Index) -> FileFindings:
    """Decodes every image file, on all cores; nothing for drawn data."""
    findings = FileFindings()
    if index.painter is not None:
        return findings
    peculiar: dict[str, list[str]] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for i, one in enumerate(pool.map(lambda i: _decode(index, i), range(len(index)))):
            if one.digest is not None:
                findings.contents[i] = one.digest
            if one.problem is not None:
                findings.problems.append(one.problem)
                findings.faulty.add(i)
            if one.thumbnail is not None and one.crops is not None:
                findings.thumbnails[i], findings.crops[i] = one.thumbnail, one.crops
            for what in one.peculiarities:
                peculiar.setdefault(what, []).append(index.where(i))
    findings.notes = [f"{len(names)} × {what} (first: {names[0]})" for what, names in peculiar.items()]
    return findings


def _decode(index: Index, i: int) -> _Decoded:
    file = str(index.files[i])
    try:
        content = np.fromfile(file, dtype=np.uint8, count=check_file(file).st_size)
    except ValueError as error:
        kind = "missing image" if "missing" in str(error) else "unreadable image"
        return _Decoded(problem=Problem(kind, file, str(error)))
    except OSError as error:
        return _Decoded(problem=Problem("missing image", file, error.strerror or str(error)))
    one = _Decoded(hashlib.blake2b(content.tobytes(), digest_size=16).digest())
    try:
        one.peculiarities = _pages(content)
        image, header = stored_pixels(content)
    except ValueError as error:
        one.problem = Problem("unreadable image", file, str(error))
        return one
    one.peculiarities += _depth(image, header.maximum)
    size = tuple(index.sizes[i].tolist())
    seen = image.shape[:2] if index.as_stored else header.size
    if seen != size:
        what = f"the file is {seen[1]}x{seen[0]}, the annotation says {size[1]}x{size[0]}"
        if header.orientation >= 5 and seen == (size[1], size[0]):
            what += f": its EXIF orientation is {header.orientation}, and the annotation is of the unturned picture"
        one.problem = Problem("wrong size", file, what)
        return one
    picture = _as_read(image, header, index.as_stored)
    one.thumbnail = thumbnail(picture)
    one.crops = crops(picture, index.boxes[index.offsets[i] : index.offsets[i + 1]])
    return one


def _as_read(image: np.ndarray, header: Header, as_stored: bool) -> np.ndarray:
    picture = eight_bits(image, header.maximum)
    return picture if as_stored else upright(picture, header.orientation)


def _pages(content: np.ndarray) -> list[str]:
    """Says that there are more pages or frames than the one that is read, and that the file tells where it was taken.

    Raises:
        ValueError: Pillow, which notices a JPEG that is cut off, does not read it to its end.
    """
    source = Source.of_bytes(content)
    header = parse_header(source)
    try:
        with source.stream() as stream, Image.open(stream, formats=PILLOW_FORMATS) as picture:
            said = []
            if picture.format in ("JPEG", "TIFF", "PNG", "WEBP") and picture.getexif().get_ifd(_GPS):
                said.append("file whose EXIF data tell the place where it was taken, should the data be published")
            if header.is_jpeg:
                picture.draft("RGB", (1, 1))  # it is read to its end but unpacked at an eighth of its size
                picture.load()
            elif getattr(picture, "n_frames", 1) > 1:
                said.append("file with several pages or frames, of which the first is read")
            return said
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
