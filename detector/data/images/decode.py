"""An image file as 8-bit RGB, upright, whatever format, colours and depth it has."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from detector.data.images.headers import PILLOW_FORMATS, Header, Source, check_file, parse_header
from detector.errors import UserError

_ADVICE = "(detector check_data lists all such files)"
_UNREADABLE = "cannot be decoded: the file is damaged or no image"
_AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
_WHOLE_JPEG = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
"""JPEGs alone are asked for as RGB: OpenCV (4.11, 5.0) gives TIFFs of 16 bits as BGR all the same."""
_REDUCED = {
    reduction: flag | cv2.IMREAD_IGNORE_ORIENTATION
    for reduction, flag in (
        (2, cv2.IMREAD_REDUCED_COLOR_2),
        (4, cv2.IMREAD_REDUCED_COLOR_4),
        (8, cv2.IMREAD_REDUCED_COLOR_8),
    )
}
_DEPTHS = (8, 10, 12, 14, 16)

# OpenCV writes its own complaints to the terminal; what is wrong comes back as one line of ours.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def decode(file: str, reduction: int = 1, turned: bool = True) -> np.ndarray:
    """An image file as uint8 [H, W, 3] RGB, turned as its header says; grey becomes RGB, alpha goes, see `eight_bits`.

    The first frame or page is read. What OpenCV does not read, Pillow does. With `reduction` 2, 4 or 8 a JPEG comes out
    at that part of its size, rounded up; other formats are not reduced. Without `turned` the pixels stay as stored.

    Raises:
        UserError: the file is missing, no file, cannot be decoded, is cut off, or has more than `MAX_PIXELS` pixels.
    """
    try:
        # room for exactly the file: NumPy asks for as much memory as it is told to read, and fresh memory takes time
        content = np.fromfile(file, dtype=np.uint8, count=check_file(file).st_size)
        image, header = stored_pixels(content, reduction)
        image = eight_bits(image, header.maximum)
        return upright(image, header.orientation) if turned else image
    except OSError as error:
        raise UserError(f"image {file} cannot be read: {error.strerror or error} {_ADVICE}") from None
    except ValueError as error:
        raise UserError(f"image {file} {error} {_ADVICE}") from None


def stored_pixels(content: np.ndarray, reduction: int = 1) -> tuple[np.ndarray, Header]:
    """The pixels as a file of `content`, uint8 bytes, stores them, [H, W, 3] RGB of any depth, not turned; the header.

    The orientation in the bytes of a TIFF is overwritten.

    Raises:
        ValueError: as `decode`; the text follows the file's name.
    """
    source = Source.of_bytes(content)
    header = parse_header(source)
    if header.orientation_tag is not None:
        # Some versions of OpenCV turn a TIFF and some do not.
        at, entry = header.orientation_tag.at, header.orientation_tag.upright
        content[at : at + len(entry)] = np.frombuffer(entry, dtype=np.uint8)
    reduced = reduction > 1 and header.is_jpeg
    image = _by_opencv(content, _REDUCED[reduction] if reduced else _WHOLE_JPEG if header.is_jpeg else _AS_STORED)
    if image is None:
        image = _by_pillow(source)
    elif reduced or not header.is_jpeg:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
    if not reduced and image.shape[:2] != (header.height, header.width):
        raise ValueError(
            f"is damaged: {image.shape[1]}x{image.shape[0]} pixels where the header says {header.width}x{header.height}"
        )
    if header.is_jpeg and (image[-1] == image[-1, 0]).all() and _lacks_data(content.tobytes(), header.width):
        raise ValueError("is damaged: the JPEG ends before its pixels do")
    return image, header


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """The stored pixels turned and mirrored as EXIF's orientation 1 to 8 says (CIPA DC-008, table 6)."""
    match orientation:
        case 2:
            return cv2.flip(image, 1)
        case 3:
            return cv2.rotate(image, cv2.ROTATE_180)
        case 4:
            return cv2.flip(image, 0)
        case 5:
            return cv2.transpose(image)
        case 6:
            return cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE)
        case 7:
            return cv2.rotate(cv2.transpose(image), cv2.ROTATE_180)
        case 8:
            return cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE)
    return image


def eight_bits(image: np.ndarray, maximum: int | None = None) -> np.ndarray:
    """Samples of any depth as uint8, by one rule that looks at this picture alone.

    Integers are shifted by `depth_used` − 8 bits, or scaled by `maximum`, the largest value, where the file names one
    that is no full number of bits. Fractions up to 1 are shares of 255, larger numbers are taken as integers; what is
    negative or not finite becomes 0.
    """
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        if maximum is not None and maximum & (maximum + 1) and image.max(initial=0) <= maximum:
            return np.rint(image * (255 / maximum)).astype(np.uint8)
        return (image >> (depth_used(image, maximum) - 8)).astype(np.uint8)
    values = np.nan_to_num(image.astype(np.float32), nan=0, posinf=0, neginf=0).clip(min=0)
    largest = float(values.max(initial=0))
    if largest <= 1 and image.dtype.kind == "f":
        values *= 255
    elif largest >= 2**16:
        values *= 255 / largest
    elif largest > 255:
        return eight_bits(values.astype(np.uint16))
    return np.rint(values).astype(np.uint8)


def depth_used(image: np.ndarray, maximum: int | None = None) -> int:
    """Bits of a 16-bit picture that its values use: 8, 10, 12, 14 or 16, as cameras have them.

    A camera of 12 bits stores 0..4095 in a 16-bit file. All 16 are in use where the values were made from 8 bits, as
    multiples of 256 or of 257, however dark the picture is. A `maximum` below 65535 that the file names decides.
    """
    largest = int(image.max(initial=0))
    if maximum is not None and largest <= maximum < 2**16 - 1 and maximum & (maximum + 1) == 0:
        return max(8, maximum.bit_length())
    depth = next(depth for depth in _DEPTHS if largest < 2**depth)
    if 8 < depth < 16 and (not (image & 255).any() or np.array_equal(image >> 8, image & 255)):
        return 16
    return depth


def _by_opencv(content: np.ndarray, flags: int) -> np.ndarray | None:
    try:
        return cv2.imdecode(content, flags)
    except (cv2.error, MemoryError):
        return None


def _by_pillow(source: Source) -> np.ndarray:
    try:
        with source.stream() as stream, Image.open(stream, formats=PILLOW_FORMATS) as picture:
            picture.load()
            if picture.mode[0] in "IF":  # 16 or 32 bits, or fractions, of one channel
                return np.repeat(np.asarray(picture)[:, :, None], 3, axis=2)
            return np.array(picture.convert("RGB"))
    except Image.DecompressionBombError:
        raise ValueError("has too many pixels") from None
    except Exception:  # whatever a plugin of Pillow raises on damaged bytes
        raise ValueError(_UNREADABLE) from None


def _lacks_data(content: bytes, width: int) -> bool:
    """Whether the end marker of a JPEG whose last row has one colour comes too early: a decoder fills up with a colour.

    Blocks of one colour are coded alike, so a row of them that is really there ends in bytes that repeat. Where they do
    not, other bytes before the marker tell: a decoder that has all its pixels passes over them.
    """
    end = content.rfind(b"\xff\xd9")
    last = content[end - min(128, max(16, width // 8)) : end - 2]
    if any(last[period:] == last[:-period] for period in range(1, len(last) // 2)):
        return False
    filling = np.random.default_rng(0).integers(0, 255, 4_096, dtype=np.uint8).tobytes()
    # Pillow, because OpenCV's decoder writes about such bytes to the terminal
    whole = _by_pillow(Source.of_bytes(content))
    return not np.array_equal(whole, _by_pillow(Source.of_bytes(content[:end] + filling + content[end:])))
