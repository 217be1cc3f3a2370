import os
from pathlib import Path

import pytest

from detector.data.text import decode_text, read_text
from detector.errors import UserError

TEXT = "été/图像.jpg\nb\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_tells_the_encoding_and_is_no_part_of_the_text(encoding: str) -> None:
    assert decode_text(TEXT.encode(encoding), "a.txt") == TEXT


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le", "utf-32-be", "utf-32-le"])
def test_wide_characters_without_a_mark_are_seen(encoding: str) -> None:
    assert decode_text(("images/" + TEXT).encode(encoding), "a.txt") == "images/" + TEXT


@pytest.mark.parametrize(
    ("start", "encoding"),
    [
        ('<?xml version="1.0" encoding="{}"?>\n', "gbk"),
        ("<?xml version='1.0' encoding='{}'?>\n", "iso-8859-1"),
        ("# -*- coding: {} -*-\n", "big5"),
        ("# coding={}\n", "cp1252"),
    ],
)
def test_a_declared_encoding_holds(start: str, encoding: str) -> None:
    text = start.format(encoding) + ("一二" if encoding in ("gbk", "big5") else "été")
    assert decode_text(text.encode(encoding), "a.xml") == text


@pytest.mark.parametrize("encoding", ["no-such", "base64", "rot13", "zlib"])
def test_a_declared_encoding_that_is_none_is_refused(encoding: str) -> None:
    with pytest.raises(UserError, match=rf"a\.xml declares the encoding '{encoding}', which is unknown"):
        decode_text(f'<?xml version="1.0" encoding="{encoding}"?><a/>'.encode(), "a.xml")


def test_bytes_that_are_no_text_are_refused_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_bytes("train: a\nnames: [中]\n".encode("gbk"))
    with pytest.raises(UserError, match=r"data\.yaml:2 is not UTF-8 \(byte 0xD6\): save it as UTF-8"):
        read_text(tmp_path / "data.yaml")


def test_only_ordinary_files_of_sensible_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * 11)
    for file, what in (
        (tmp_path / "pipe", "is a pipe"),
        (tmp_path, "is a folder"),
        (Path("/dev/zero"), "is a device"),
        (tmp_path / "large", "has 11 bytes; at most 10 are read"),
        (tmp_path / "none", "cannot be read: No such file"),
        (tmp_path / ("a" * 5000), "cannot be read: File name too long"),
        (tmp_path / "a\0b", "cannot be read"),
    ):
        with pytest.raises(UserError, match=what):
            read_text(file, limit=10)
