from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from detector.errors import UserError
from detector.inference.sources import ImageFiles, Video, open_source


def _picture(height: int = 20, width: int = 30, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _write_video(file: Path, frames: list[np.ndarray], frame_rate: float = 10.0) -> None:
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), frame_rate, (width, height))
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


def _flat_frames(count: int) -> list[np.ndarray]:
    """Frame i has the colour (10i, 200 − 10i, 50)."""
    return [np.full((48, 64, 3), (10 * i, 200 - 10 * i, 50), dtype=np.uint8) for i in range(count)]


def _message(source: Path | str) -> str:
    with pytest.raises(UserError) as caught:
        open_source(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_image_file_is_one_rgb_picture(tmp_path: Path) -> None:
    pixels = _picture()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (picture,) = open_source(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert (picture.name, picture.frame, picture.model_input) == ("a.png", None, tmp_path / "a.png")


def test_a_folder_gives_its_images_by_name_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "c.bmp", ".hidden.png"):
        Image.fromarray(_picture()).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    Image.fromarray(_picture()).save(tmp_path / "folder.png" / "inner.png")
    source = open_source(tmp_path)
    assert isinstance(source, ImageFiles)
    assert [picture.name for picture in source] == ["a.JPG", "b.png", "c.bmp", "folder.png/inner.png"]
    assert len(source) == 4
    assert source.left_out == ("notes.txt",)


def test_a_pattern_gives_the_images_that_fit(tmp_path: Path) -> None:
    for place in ("a.png", "b.jpg", "sub/c.png", "sub/deep/d.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_picture()).save(tmp_path / place)
    assert [one.name for one in open_source(f"{tmp_path}/*.png")] == ["a.png"]
    assert [one.name for one in open_source(f"{tmp_path}/sub/**/*.png")] == ["c.png", "deep/d.png"]
    assert "no image file fits this pattern" in _message(tmp_path / "*.bmp")


def test_an_address_gives_the_frames_of_the_stream_there(tmp_path: Path) -> None:
    _write_video(tmp_path / "a.mp4", _flat_frames(12))
    source = open_source(f"file://{tmp_path}/a.mp4", frames=5)
    assert isinstance(source, Video)
    assert (source.file, len(source), source.size) == (Path("a.mp4"), 5, (48, 64))
    pictures = list(source)
    assert [picture.frame for picture in pictures] == [0, 1, 2, 3, 4]
    assert np.abs(pictures[4].pixels.astype(int) - _flat_frames(5)[4]).max() < 12
    assert "no video comes from this address" in _message("rtsp://127.0.0.1:9/none")  # nobody listens


def test_a_number_is_a_webcam_unless_a_file_has_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _write_video(tmp_path / "a.mp4", _flat_frames(3))
    opened = []
    capture = cv2.VideoCapture

    def camera(number: int) -> cv2.VideoCapture:
        opened.append(number)
        return capture(str(tmp_path / "a.mp4"), cv2.CAP_FFMPEG)

    monkeypatch.setattr(cv2, "VideoCapture", camera)
    source = open_source("7")
    assert isinstance(source, Video)
    assert (len(list(source)), source.expected_frames, source.file) == (3, 0, Path("webcam_7"))
    assert opened == [7, 7]
    monkeypatch.undo()
    Image.fromarray(_picture()).save(tmp_path / "7.png")
    (tmp_path / "7.png").rename(tmp_path / "7")
    monkeypatch.chdir(tmp_path)
    assert "neither an image" in _message(Path("7"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_its_exif_orientation_says(orientation: int, tmp_path: Path) -> None:
    image = Image.fromarray(cv2.resize(_picture(2, 3), (96, 64), interpolation=cv2.INTER_CUBIC))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    (picture,) = open_source(tmp_path / "a.jpg")
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.jpg")))
    assert picture.pixels.shape == expected.shape
    assert np.abs(picture.pixels.astype(int) - expected).mean() < 2  # the two decoders round differently


def test_a_video_gives_all_its_frames_in_order(tmp_path: Path) -> None:
    _write_video(tmp_path / "a.mp4", _flat_frames(12), frame_rate=10)
    source = open_source(tmp_path / "a.mp4")
    assert isinstance(source, Video)
    assert (len(source), source.size) == (12, (48, 64))
    assert source.frame_rate == pytest.approx(10)
    pictures = list(source)
    assert [picture.frame for picture in pictures] == list(range(12))
    assert pictures[3].name == "a.mp4, frame 3"
    for picture, frame in zip(pictures, _flat_frames(12), strict=True):
        assert np.abs(picture.pixels.astype(int) - frame).max() < 12  # the codec loses a little
        assert picture.model_input is picture.pixels


def test_frames_are_decoded_as_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write_video(tmp_path / "a.mp4", _flat_frames(12))
    source = open_source(tmp_path / "a.mp4")
    converted = []
    convert = cv2.cvtColor

    def counted(frame: np.ndarray, code: int) -> np.ndarray:
        converted.append(frame)
        return convert(frame, code)

    monkeypatch.setattr(cv2, "cvtColor", counted)
    frames: Iterator[object] = iter(source)
    next(frames), next(frames)
    assert len(converted) == 2


def test_a_path_that_does_not_exist_is_named_with_what_is_there(tmp_path: Path) -> None:
    Image.fromarray(_picture()).save(tmp_path / "street.png")
    assert "street.png" in _message(tmp_path / "stret.png")


def test_a_folder_without_images_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    message = _message(tmp_path)
    assert "no image" in message
    assert "images/" in message


def test_an_unknown_kind_of_file_is_refused_and_the_known_ones_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    message = _message(tmp_path / "a.txt")
    assert ".jpg" in message
    assert ".mp4" in message


def test_all_unreadable_images_of_a_folder_are_named_at_once(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(_picture()).save(tmp_path / name)
    (tmp_path / "c.jpg").write_text("no image")
    (tmp_path / "d.png").write_bytes(b"")
    message = _message(tmp_path)
    assert "2 of 4" in message
    assert "c.jpg, d.png" in message


@pytest.mark.parametrize("name", ["a.jpg", "a.mp4"])
def test_a_file_that_is_not_what_its_name_says_is_refused(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text("neither an image nor a video")
    assert name in _message(tmp_path / name)
    assert capfd.readouterr() == ("", "")
