"""Pillow is the reference for what a file shows: another reader of the same formats."""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps, features

from detector.data.images.decode import decode, depth_used, eight_bits
from detector.data.images.headers import IMAGE_SUFFIXES, MAX_PIXELS, header_sizes, image_header
from detector.errors import UserError

ORIENTATION = 0x0112
TURNABLE: dict[str, dict[str, Any]] = {
    "jpg": {"quality": 95},
    "png": {},
    "tif": {},
    "webp": {"lossless": True},
    "avif": {"quality": 95},
}


def photograph(height: int = 48, width: int = 80, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    soft = cv2.GaussianBlur(noise, (15, 15), 5)
    return cv2.normalize(soft, None, 0, 255, cv2.NORM_MINMAX)


def saved(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image or Image.fromarray(photograph())).save(buffer, kind, **options)
    return buffer.getvalue()


def written(tmp_path: Path, content: bytes, name: str = "a.png") -> str:
    file = tmp_path / name
    file.write_bytes(content)
    return str(file)


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def blank_png(width: int, height: int, pixels: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", TURNABLE)
def test_size_and_pixels_follow_one_orientation_in_every_format(tmp_path: Path, suffix: str, orientation: int) -> None:
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("this Pillow writes no AVIF")
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = str(tmp_path / f"a.{suffix}")
    Image.fromarray(photograph()).save(file, exif=exif, **TURNABLE[suffix])
    expected = np.asarray(ImageOps.exif_transpose(Image.open(file)).convert("RGB")).astype(int)
    pixels = decode(file)
    assert pixels.shape == expected.shape
    assert tuple(header_sizes([file])[0]) == expected.shape[:2]
    assert np.abs(pixels - expected).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_turns_the_pixels_as_the_standard_says(tmp_path: Path, orientation: int) -> None:
    """Where row 0 and column 0 of the stored picture are seen: CIPA DC-008, 4.6.4."""
    sides = {1: "top left", 2: "top right", 3: "bottom right", 4: "bottom left"}
    sides |= {5: "left top", 6: "right top", 7: "right bottom", 8: "left bottom"}
    stored = np.zeros((20, 30, 3), np.uint8)
    stored[0], stored[:, 0] = (255, 0, 0), (0, 255, 0)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    seen = decode(written(tmp_path, saved("PNG", Image.fromarray(stored), exif=exif)))
    edges = {"top": seen[0], "bottom": seen[-1], "left": seen[:, 0], "right": seen[:, -1]}
    row, column = sides[orientation].split()
    assert np.median(edges[row], axis=0).tolist() == [255, 0, 0]
    assert np.median(edges[column], axis=0).tolist() == [0, 255, 0]


def exif_block(kind: int, count: int, value: bytes) -> bytes:
    entry = struct.pack("<HHI", ORIENTATION, kind, count) + value.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)


@pytest.mark.parametrize(
    "block",
    [
        exif_block(2, 2, b"6\0"),  # text
        exif_block(3, 1, struct.pack("<H", 9)),
        exif_block(3, 1, struct.pack("<H", 0)),
        exif_block(3, 2, struct.pack("<HH", 6, 6)),
        exif_block(5, 1, struct.pack("<I", 8)),  # a fraction
        exif_block(3, 1, struct.pack("<H", 6))[:15],  # cut off
        b"",
        b"II*\0\xff\xff\xff\xff",
    ],
)
def test_an_orientation_that_is_none_leaves_the_picture_as_it_is(tmp_path: Path, block: bytes) -> None:
    jpeg = saved("JPEG", quality=95)
    content = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 8) + b"Exif\0\0" + block + jpeg[2:]
    file = written(tmp_path, content, "a.jpg")
    assert header_sizes([file]).tolist() == [[48, 80]]
    np.testing.assert_array_equal(decode(file), decode(written(tmp_path, jpeg, "b.jpg")))


def test_an_orientation_behind_the_pixels_of_a_png_counts(tmp_path: Path) -> None:
    png = saved("PNG")
    block = exif_block(3, 1, struct.pack("<H", 6))
    file = written(tmp_path, png[:-12] + png_chunk(b"eXIf", block) + png[-12:])
    assert header_sizes([file]).tolist() == [[80, 48]]
    np.testing.assert_array_equal(decode(file), np.rot90(photograph(), -1))


def test_a_size_is_known_without_the_pixels(tmp_path: Path) -> None:
    """Nothing is decoded for it: these pixels cannot be."""
    file = written(tmp_path, blank_png(80, 48, b"no pixels"))
    assert header_sizes([file]).tolist() == [[48, 80]]
    with pytest.raises(UserError, match=r"a\.png cannot be decoded"):
        decode(file)


KINDS = [("PNG", "1"), ("PNG", "P"), ("PNG", "LA"), ("PNG", "RGBA"), ("JPEG", "CMYK"), ("JPEG", "L"), ("TIFF", "1")]
KINDS += [("TIFF", "P"), ("TIFF", "CMYK"), ("TIFF", "LA"), ("GIF", "P"), ("BMP", "P"), ("BMP", "1"), ("PPM", "L")]
KINDS += [("WEBP", "RGBA"), ("TGA", "RGB"), ("PCX", "RGB"), ("QOI", "RGB"), ("SGI", "L"), ("DDS", "RGB")]


@pytest.mark.parametrize(("kind", "mode"), KINDS)
def test_a_format_and_its_colours_show_what_pillow_shows(tmp_path: Path, kind: str, mode: str) -> None:
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {kind}")
    content = saved(kind, Image.fromarray(photograph()).convert(mode))
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    file = written(tmp_path, content, "any.name")
    assert tuple(header_sizes([file])[0]) == expected.shape[:2]
    assert np.abs(decode(file) - expected).mean() < 2


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES - {".hdr", ".pfm", ".ico", ".apng"}))
def test_every_suffix_that_counts_as_an_image_is_of_a_format_that_is_read(tmp_path: Path, suffix: str) -> None:
    pixels = photograph()
    try:
        grey = pixels.mean(2).astype(np.uint8)
        stored = {".pbm": grey // 128 * 255, ".pgm": grey}.get(suffix, pixels[:, :, ::-1])
        content = cv2.imencode(suffix, stored)[1].tobytes() if cv2.haveImageWriter(f"a{suffix}") else b""
    except cv2.error:
        content = b""
    if not content:
        kind = Image.EXTENSION.get(suffix)
        if kind not in Image.SAVE:
            pytest.skip("nothing here writes it")
        content = saved(kind, Image.fromarray(pixels))
    read = decode(written(tmp_path, content, f"a{suffix}"))
    expected = pixels if suffix != ".pbm" else np.where(pixels.mean(2, keepdims=True) > 127, 255, 0)
    assert read.shape == (48, 80, 3)
    assert np.corrcoef(read.astype(float).mean(2).ravel(), expected.astype(float).mean(2).ravel())[0, 1] > 0.7


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WebP", "AVIF", "GIF", "BMP", "PPM", "JPEG"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_red_comes_first_whatever_the_format(tmp_path: Path, kind: str, mode: str) -> None:
    if (kind, mode) in [("JPEG", "RGBA"), ("PPM", "RGBA")] or (kind == "AVIF" and not features.check("avif")):
        pytest.skip("nothing writes it")
    colour = (220, 120, 20, 255)[: len(mode)]
    read = decode(written(tmp_path, saved(kind, Image.new(mode, (40, 24), colour)), f"a.{kind.lower()}"))
    assert read.mean((0, 1)) == pytest.approx((220, 120, 20), abs=4)


@pytest.mark.parametrize(("kind", "one"), [("uint8", 1), ("uint16", 257), ("float32", 1 / 255)])
def test_red_comes_first_in_a_tiff_of_any_depth(tmp_path: Path, kind: str, one: float) -> None:
    """As tifffile writes it, which comes with scikit-image."""
    pixels = np.full((24, 40, 3), np.multiply((220, 120, 20), one), dtype=kind)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
    assert decode(str(tmp_path / "a.tif"))[0, 0].tolist() == [220, 120, 20]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_a_camera_of_fewer_bits_in_a_16_bit_file_is_not_black(tmp_path: Path, bits: int, suffix: str) -> None:
    grey = photograph()[:, :, 0]
    sensor = np.rint(grey.astype(float) * (2**bits - 1) / 255).astype(np.uint16)
    file = str(tmp_path / f"a{suffix}")
    assert cv2.imwrite(file, sensor)
    assert depth_used(sensor) == bits
    assert np.abs(decode(file)[:, :, 0].astype(int) - grey).max() <= 1


def test_a_dark_picture_made_from_8_bits_stays_dark(tmp_path: Path) -> None:
    dark = photograph()[:, :, 0] // 8
    for factor in (256, 257):
        assert cv2.imwrite(str(tmp_path / "a.png"), dark.astype(np.uint16) * factor)
        np.testing.assert_array_equal(decode(str(tmp_path / "a.png"))[:, :, 0], dark)


def test_the_largest_value_that_a_file_names_is_white(tmp_path: Path) -> None:
    grey = photograph()[:, :, 0]
    values = np.rint(grey / 255 * 1000).astype(">u2")
    file = written(tmp_path, b"P5\n80 48\n1000\n" + values.tobytes(), "a.pgm")
    assert np.abs(decode(file)[:, :, 0].astype(int) - grey).max() <= 1


@pytest.mark.parametrize("scale", [1 / 255, 1.0, 257.0])
def test_fractions_and_large_numbers_become_8_bits(tmp_path: Path, scale: float) -> None:
    grey = photograph()[:, :, 0]
    values = grey.astype(np.float32) * scale
    values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert np.abs(decode(str(tmp_path / "a.tif"))[1:, :, 0].astype(int) - grey[1:]).max() <= 1


def test_8_bit_pixels_stay_as_they_are() -> None:
    image = photograph()
    assert eight_bits(image) is image


def test_the_first_frame_and_the_first_page_are_read(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((20, 30, 3), 40 + 100 * n, np.uint8)) for n in range(2)]
    for name in ("a.gif", "a.tif", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert abs(int(decode(str(tmp_path / name)).mean()) - 40) < 4


@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_a_reduced_jpeg_is_turned_as_well(tmp_path: Path, reduction: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    file = written(tmp_path, saved("JPEG", exif=exif, quality=95), "a.jpg")
    whole = decode(file)
    small = decode(file, reduction)
    assert small.shape == (80 // reduction, 48 // reduction, 3)
    expected = cv2.resize(whole, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - expected).mean() < 4


BROKEN = {
    "half a JPEG": saved("JPEG")[: len(saved("JPEG")) // 2],
    "half a JPEG and an end marker": saved("JPEG", quality=95)[: len(saved("JPEG", quality=95)) // 2] + b"\xff\xd9",
    "half a PNG": saved("PNG")[: len(saved("PNG")) // 2],
    "half a WebP": saved("WEBP")[: len(saved("WEBP")) // 2],
    "half a BMP": saved("BMP")[: len(saved("BMP")) // 2],
    "half a TIFF": saved("TIFF")[: len(saved("TIFF")) // 2],
    "half a GIF header": saved("GIF")[:8],
    "half an AVIF": (saved("AVIF") if features.check("avif") else b"\0" * 99)[:99],
    "nothing": b"",
    "text": b"no image\n" * 99,
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
    "no pixels": blank_png(0, 10),
    "40,000 squared": blank_png(40_000, 40_000, zlib.compress(b"\0" * 9)),
    "2^31-1 squared": blank_png(2**31 - 1, 2**31 - 1),
    "BMP of many pixels": b"BM" + struct.pack("<IIIIiiHHI", 60, 0, 54, 40, 60_000, 60_000, 1, 24, 1) + b"\0" * 60,
    "GIF of many pixels": b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\0" * 60,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_what_is_no_whole_picture_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    file = written(tmp_path, content)
    with pytest.raises(UserError, match=r"image .*a\.png (is damaged|cannot be decoded|has \d+x\d+ pixels)") as caught:
        decode(file)
    assert "\n" not in str(caught.value)


def test_a_jpeg_of_one_colour_at_its_end_is_whole(tmp_path: Path) -> None:
    for mode in ("RGB", "L"):
        for options in ({}, {"optimize": True}, {"progressive": True}, {"subsampling": 0}):
            pixels = photograph(96, 160)
            pixels[40:] = (250, 13, 99)
            content = saved("JPEG", Image.fromarray(pixels).convert(mode), **({} if mode == "L" else options))
            assert decode(written(tmp_path, content, "a.jpg")).shape == (96, 160, 3)


def test_what_is_no_file_is_refused_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    for name, what in (("pipe", "a pipe"), ("folder", "a folder"), ("device", "a device"), ("gone", "missing")):
        file = str(tmp_path / f"{name}.jpg")
        assert header_sizes([file]).tolist() == [[0, 0]]
        with pytest.raises(UserError, match=f"{name}.jpg is {what}"):
            decode(file)


def test_the_limit_of_pixels_is_the_same_for_header_and_pixels(tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5)
    assert image_header(written(tmp_path, blank_png(side, side))).size == (side, side)
    file = written(tmp_path, blank_png(side + 1, side))
    for read in (image_header, decode):
        with pytest.raises(UserError, match=r"has 16385x16384 pixels; at most 268,435,456 are decoded"):
            read(file)
