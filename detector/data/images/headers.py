"""The size and the orientation of a picture from its first bytes: what every reader and the decoder go by."""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image

from detector.data.images.exif import Tag, exif_orientation, orientation_of, read_tags
from detector.data.text import kind_of
from detector.errors import UserError

MAX_PIXELS = 2**28
"""Pixels above which a picture is refused before a byte of it is decoded: 16,384 squared, 0.8 GB as RGB."""
MAX_BYTES = 2**31
"""Bytes above which an image file is refused."""

# What Pillow may be asked about; it would start other programs for some (EPS). Older versions lack some.
Image.init()
PILLOW_FORMATS = tuple(
    name
    for name in (
        *("AVIF", "BMP", "DDS", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "PSD", "QOI", "SGI"),
        *("SUN", "TGA", "TIFF", "WEBP"),
    )
    if name in Image.OPEN
)
IMAGE_SUFFIXES = frozenset(
    {
        *(".apng", ".avif", ".bmp", ".dds", ".dib", ".gif", ".hdr", ".ico", ".j2k", ".jfif", ".jp2", ".jpc", ".jpe"),
        *(".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".pam", ".pbm", ".pcx", ".pfm", ".pgm", ".png", ".pnm", ".ppm"),
        *(".psd", ".qoi", ".ras", ".sgi", ".sr", ".tga", ".tif", ".tiff", ".webp"),
    }
)
"""Names of the formats that `detector.data.images.decode` reads, in lower case."""

Image.MAX_IMAGE_PIXELS = MAX_PIXELS

_DAMAGED = "is damaged: the file ends before its pixels do"


@dataclass(frozen=True)
class Header:
    """What a file says about its picture."""

    width: int
    """Width of the picture as stored, in pixels, before it is turned."""
    height: int
    orientation: int = 1
    """EXIF's, 1 to 8; any other value in the file counts as 1, upright."""
    maximum: int | None = None
    """The largest value of a sample, where the file says so."""
    is_jpeg: bool = False
    orientation_tag: Tag | None = None
    """A TIFF's own orientation, which decoders obey or not."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) as the picture is seen."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)


@dataclass(frozen=True)
class Source:
    """Bytes of an image file, in memory or on disk."""

    size: int
    read: Callable[[int, int], bytes]
    """(start, count) → up to that many bytes."""
    stream: Callable[[], BinaryIO]
    """A reader of all bytes from the first."""

    @classmethod
    def of_bytes(cls, content: bytes | np.ndarray) -> Source:
        """The bytes themselves, or uint8 numbers of which later changes are seen."""
        view = memoryview(content)  # type: ignore[arg-type]
        return cls(len(view), lambda start, count: bytes(view[start : start + count]), lambda: io.BytesIO(view))


def header_sizes(files: Sequence[str]) -> np.ndarray:
    """int32 [I, 2]: (height, width) of image files from their headers, EXIF orientation applied; 0, 0 if unreadable."""
    if not files:
        return np.zeros((0, 2), dtype=np.int32)
    with ThreadPoolExecutor(16) as pool:
        return np.array(list(pool.map(_size, files, chunksize=64)), dtype=np.int32)


def _size(file: str) -> tuple[int, int]:
    try:
        return image_header(file).size
    except UserError:
        return 0, 0


def image_header(file: str) -> Header:
    """The header of an image file, of which little more is read.

    Raises:
        UserError: the file is missing, no file, empty, cut off, no image of a format that is read, or too large.
    """
    try:
        state = check_file(file)
        descriptor = os.open(file, os.O_RDONLY)
        try:
            head = os.pread(descriptor, 16_384, 0)

            def read(start: int, count: int) -> bytes:
                if start + count <= len(head):
                    return head[start : start + count]
                return os.pread(descriptor, count, start)

            return parse_header(Source(state.st_size, read, lambda: open(file, "rb")))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UserError(f"image {file} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise UserError(f"image {file} {error}") from None


def check_file(file: str) -> os.stat_result:
    """The state of an ordinary file of sensible size.

    Raises:
        ValueError: it is missing, something else or too large; the text follows the file's name.
    """
    try:
        state = os.stat(file)
    except FileNotFoundError:
        raise ValueError("is missing") from None
    if not stat.S_ISREG(state.st_mode):
        raise ValueError(f"is {kind_of(state.st_mode)}, not a picture")
    if state.st_size > MAX_BYTES:
        raise ValueError(f"has {state.st_size:,} bytes; at most {MAX_BYTES:,} are read")
    if state.st_size == 0:
        raise ValueError("cannot be decoded: the file is empty")
    return state


def parse_header(source: Source) -> Header:
    """What the file's first bytes say, by their own signature, whatever the file is called.

    Raises:
        ValueError: it is cut off, no image of a format that is read, or too large; the text follows the file's name.
    """
    start = source.read(0, 16)
    parser = next((parser for signature, parser in _PARSERS if signature.match(start)), _by_pillow)
    try:
        header = parser(source)
    except (struct.error, IndexError):
        raise ValueError(_DAMAGED) from None
    if header.width < 1 or header.height < 1:
        raise ValueError("cannot be decoded: its header says that it has no pixels")
    if header.width * header.height > MAX_PIXELS:
        raise ValueError(f"has {header.width}x{header.height} pixels; at most {MAX_PIXELS:,} are decoded")
    return header


def _jpeg(source: Source) -> Header:
    """Segments up to the first scan; the end marker must come in the second half: a camera may add data behind it."""
    at, size, orientation = 2, None, 1
    while True:
        while (marker := source.read(at, 2)) and marker[0] != 0xFF:  # decoders pass over stray bytes
            at += 1
        if len(marker) < 2 or marker[1] in (0xD9, 0xDA):
            break
        if marker[1] in (0xFF, 0x00, 0x01) or 0xD0 <= marker[1] <= 0xD8:
            at += 1 if marker[1] == 0xFF else 2
            continue
        (length,) = struct.unpack(">H", source.read(at + 2, 2))
        if 0xC0 <= marker[1] <= 0xCF and marker[1] not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", source.read(at + 5, 4))
            size = (width, height)
        elif marker[1] == 0xE1 and orientation == 1 and source.read(at + 4, 6) == b"Exif\0\0":
            orientation = exif_orientation(source.read(at + 10, length - 8))
        at += 2 + length
    if size is None:
        raise ValueError("cannot be decoded: the file is damaged or no image")
    if not jpeg_ends(source):
        raise ValueError("is damaged: the end of the JPEG is missing")
    return Header(*size, orientation, is_jpeg=True)


def jpeg_ends(source: Source) -> bool:
    """Whether there is an end marker in the second half; without it a decoder would fill up with grey."""
    middle, near = source.size // 2, max(source.size // 2, source.size - 4_096)
    return b"\xff\xd9" in source.read(near, source.size) or b"\xff\xd9" in source.read(middle, source.size)


def _png(source: Source) -> Header:
    """Chunks up to the pixels, and the last bytes: an eXIf chunk may stand on either side."""
    width, height = struct.unpack(">II", source.read(16, 8))
    at, orientation = 8, 1
    while True:
        length, name = struct.unpack(">I4s", source.read(at, 8))
        if name == b"eXIf":
            orientation = exif_orientation(source.read(at + 8, length))
        if name in (b"IDAT", b"IEND"):
            break
        at += 12 + length
    tail = source.read(max(at, source.size - 65_536), 65_536)
    if b"IEND" not in tail and b"IEND" not in source.read(at, source.size):
        raise ValueError(_DAMAGED)
    if orientation == 1 and (found := tail.rfind(b"eXIf")) >= 4:
        (length,) = struct.unpack(">I", tail[found - 4 : found])
        body = tail[found : found + 4 + length]
        if tail[found + 4 + length : found + 8 + length] == struct.pack(">I", zlib.crc32(body)):
            orientation = exif_orientation(body[4:])
    return Header(width, height, orientation)


def _tiff(source: Source) -> Header:
    tags = read_tags(source.read)
    width, height = (next(iter(tags[tag].numbers), 0) if tag in tags else 0 for tag in (256, 257))
    for places, lengths in ((273, 279), (324, 325)):
        if places in tags:
            starts = tags[places].numbers
            counts = tags[lengths].numbers if lengths in tags else ()
            ends = [start + count for start, count in zip(starts, counts, strict=False)] or list(starts)
            if ends and max(ends) > source.size:
                raise ValueError(_DAMAGED)
    maximum = max(tags[281].numbers, default=None) if 281 in tags else None
    return Header(width, height, orientation_of(tags), maximum, orientation_tag=tags.get(274))


def _webp(source: Source) -> Header:
    (length,) = struct.unpack("<I", source.read(4, 4))
    if 8 + length > source.size:
        raise ValueError(_DAMAGED)
    at, size, orientation = 12, None, 1
    while at + 8 <= 8 + length:
        name, count = struct.unpack("<4sI", source.read(at, 8))
        start = source.read(at + 8, 16)
        if name == b"VP8X":
            size = 1 + int.from_bytes(start[4:7], "little"), 1 + int.from_bytes(start[7:10], "little")
        elif name == b"VP8 " and size is None:
            size = struct.unpack("<H", start[6:8])[0] & 0x3FFF, struct.unpack("<H", start[8:10])[0] & 0x3FFF
        elif name == b"VP8L" and size is None:
            bits = int.from_bytes(start[1:5], "little")
            size = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        elif name == b"EXIF":
            orientation = exif_orientation(source.read(at + 8, count).removeprefix(b"Exif\0\0"))
        at += 8 + count + count % 2
    if size is None:
        raise ValueError("cannot be decoded: the file is damaged or no image")
    return Header(*size, orientation)


def _gif(source: Source) -> Header:
    return Header(*struct.unpack("<HH", source.read(6, 4)))


def _bmp(source: Source) -> Header:
    pixels, kind = struct.unpack("<II", source.read(10, 8))
    if kind == 12:
        width, height, _, bits = struct.unpack("<HHHH", source.read(18, 8))
        packed = 0
    else:
        width, height, _, bits, packed = struct.unpack("<iiHHI", source.read(18, 16))
    if packed == 0 and pixels + (bits * width + 31) // 32 * 4 * abs(height) > source.size:
        raise ValueError(_DAMAGED)
    return Header(width, abs(height))


def _netpbm(source: Source) -> Header:
    start = source.read(0, 4_096)
    if start[:2] == b"P7":
        found = {key: int(value) for key, value in re.findall(rb"^(WIDTH|HEIGHT|MAXVAL) +(\d{1,9})\s*$", start, re.M)}
        return Header(found.get(b"WIDTH", 0), found.get(b"HEIGHT", 0), maximum=found.get(b"MAXVAL"))
    words = re.sub(rb"#[^\n]*\n", b" ", start).split(maxsplit=4)
    numbers = [int(word) if word.isdigit() and len(word) < 10 else 0 for word in words[1:4]]
    return Header(numbers[0], numbers[1], maximum=numbers[2] if start[1:2] in b"2356" else None)


def _radiance(source: Source) -> Header:
    found = re.search(rb"\n-Y (\d{1,9}) \+X (\d{1,9})\n", source.read(0, 65_536))
    return Header(int(found[2]), int(found[1])) if found else Header(0, 0)


def _by_pillow(source: Source) -> Header:
    try:
        with source.stream() as stream, Image.open(stream, formats=PILLOW_FORMATS) as picture:
            return Header(*picture.size, orientation_of(picture.getexif()) if picture.format == "AVIF" else 1)
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, MemoryError, EOFError, OverflowError):
        raise ValueError("cannot be decoded: the file is damaged or no image") from None
    except Image.DecompressionBombError:
        raise ValueError(f"has too many pixels; at most {MAX_PIXELS:,} are decoded") from None


_PARSERS: tuple[tuple[re.Pattern[bytes], Callable[[Source], Header]], ...] = (
    (re.compile(rb"\xff\xd8"), _jpeg),
    (re.compile(rb"\x89PNG\r\n\x1a\n.{4}IHDR", re.S), _png),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), _tiff),
    (re.compile(rb"RIFF.{4}WEBP", re.S), _webp),
    (re.compile(rb"GIF8[79]a"), _gif),
    (re.compile(rb"BM"), _bmp),
    (re.compile(rb"P[1-7Ff]\s"), _netpbm),
    (re.compile(rb"#\?(RADIANCE|RGBE)"), _radiance),
)


def picture_kind(file: os.PathLike[str]) -> str | None:
    """What a file is by its first bytes: JPEG, PNG, ..., None where they are of no picture or it cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):
            return None
        with open(file, "rb") as stream:
            start = stream.read(16)
    except OSError:
        return None
    kinds = ("JPEG", "PNG", "TIFF", "WebP", "GIF")
    return next((kind for kind, (signature, _) in zip(kinds, _PARSERS, strict=False) if signature.match(start)), None)
