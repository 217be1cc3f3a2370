"""Text files whatever wrote them: byte order marks and declared encodings honoured, otherwise UTF-8."""

from __future__ import annotations

import codecs
import os
import re
import stat
from pathlib import Path

from detector.errors import UserError

LARGEST = 2**31
"""Bytes above which a file is not read as text."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins with the mark of UTF-16, so it comes first
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_XML_DECLARATION = re.compile(rb"^\s*<\?xml[^>]{0,200}?\bencoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']")
_CODING_COMMENT = re.compile(rb"^[ \t]*#.{0,100}?coding[:=][ \t]*([A-Za-z0-9._-]{1,40})")


def read_text(file: Path, limit: int = LARGEST) -> str:
    """The text of a file, decoded as `decode_text` does, with its line ends as they are.

    Raises:
        UserError: it is missing, no ordinary file (a folder, a device, a pipe), of more than `limit` bytes, or not text;
            the one line names the file.
    """
    return decode_text(read_bytes(file, limit), str(file))


def read_bytes(file: Path, limit: int = LARGEST) -> bytes:
    """The bytes of an ordinary file; a device or a pipe, which may never end, is not opened.

    Raises:
        UserError: it is missing, no ordinary file, cannot be read or has more than `limit` bytes.
    """
    try:
        state = os.stat(file)
        if not stat.S_ISREG(state.st_mode):
            raise UserError(f"{file} is {kind_of(state.st_mode)}, not a file with content")
        if state.st_size > limit:
            raise UserError(f"{file} has {state.st_size:,} bytes; at most {limit:,} are read")
        with open(file, "rb") as stream:
            return stream.read(limit)
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def kind_of(mode: int) -> str:
    """What a file that is no ordinary file is, for a message."""
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def decode_text(content: bytes, name: str) -> str:
    """Bytes as text: by the byte order mark, else the encoding that an XML declaration or a first line
    `# -*- coding: NAME -*-` names, else as UTF-16 or UTF-32 where the first two characters can be nothing else, else
    UTF-8. No mark is left in the text.

    Raises:
        UserError: the bytes are not text in that encoding; the one line says where and calls the file `name`.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _decoded(content[len(mark) :], encoding, name, "as its byte order mark says")
    declared = _XML_DECLARATION.match(content) or _CODING_COMMENT.match(content)
    if declared:
        encoding = declared[1].decode("ascii")
        # What declares UTF-16 in single bytes and has no mark is not UTF-16.
        if not encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32", "utf16", "utf32", "ucs")):
            return _decoded(content, encoding, name, "as it declares")
    return _decoded(content, _by_zero_bytes(content[:4]), name, "save it as UTF-8")


def _by_zero_bytes(start: bytes) -> str:
    """A text begins with an ASCII character here, so the places of zero bytes tell the encoding."""
    zeros = tuple(byte == 0 for byte in start)
    encodings: dict[tuple[bool, ...], str] = {
        (False, True, True, True): "utf-32-le",
        (True, True, True, False): "utf-32-be",
        (False, True, False, True): "utf-16-le",
        (True, False, True, False): "utf-16-be",
    }
    return encodings.get(zeros, "utf-8")


def _decoded(content: bytes, encoding: str, name: str, advice: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise UserError(f"{name}:{line} is not {encoding.upper()} (byte 0x{byte:02X}): {advice}") from None
    except (LookupError, ValueError):  # an encoding that does not exist or is none of text
        raise UserError(f"{name} declares the encoding {encoding!r}, which is unknown: save it as UTF-8") from None
