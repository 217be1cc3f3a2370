"""The window on a screen that nobody sees (Debian: apt-get install xvfb), and `predict` with a stand-in for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageGrab
from saved_checkpoint import save_checkpoint

from detector import config
from detector.data.formats.shapes import CLASS_NAMES
from detector.errors import UserError
from detector.inference import predict as predicting
from detector.inference.predict import predict
from detector.inference.window import Window

Configure = Callable[..., config.Train]
PLAIN = np.full((60, 80, 3), (200, 30, 90), np.uint8)


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """The name of a screen of 400 × 300 pixels."""
    pytest.importorskip("tkinter")
    if shutil.which("Xvfb") is None:
        pytest.skip("no Xvfb on the PATH")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "400x300x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as number:
        yield f":{number.readline().strip()}"
    server.terminate()
    server.wait()


@pytest.fixture
def opened(display: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    """A window that has the keyboard, with a picture; it closes by itself after a while, so that no test waits for ever."""
    monkeypatch.setenv("DISPLAY", display)
    with Window("title") as opened:
        opened._root.after(60_000, opened._close)
        opened.show(PLAIN, "first.png", 0.0)
        while not opened._root.tk.call("focus"):
            opened._root.focus_force()
            opened._look()
            assert not opened.closed
        yield opened


def _press(opened: Window, key: str, after: int = 60) -> None:
    """Presses a key some milliseconds from now."""
    opened._root.after(after, lambda: opened._root.event_generate(f"<{key}>"))


def _area_on(display: str, colour: np.ndarray) -> int:
    """How many pixels of the screen have it."""
    return int((np.asarray(ImageGrab.grab(xdisplay=display).convert("RGB")) == colour).all(axis=2).sum())


def test_pictures_are_on_the_screen_and_large_ones_are_shrunk_to_it(opened: Window, display: str) -> None:
    large = np.full((900, 900, 3), (10, 200, 250), np.uint8)
    for picture, area in ((PLAIN, 60 * 80), (255 - PLAIN, 60 * 80), (large, 270 * 270)):
        opened.show(picture, "a.png", 0.0)
        while _area_on(display, picture[0, 0]) != area:  # the server draws when it comes to it
            opened._look()
            assert not opened.closed
    assert opened._root.title() == "a.png – title"


def test_an_image_stays_until_a_key_leads_to_the_next_one(opened: Window) -> None:
    for key in ("space", "Return", "Right"):
        _press(opened, "Shift_L", after=10)
        _press(opened, "x", after=30)
        _press(opened, key, after=150)
        started = time.perf_counter()
        opened.show(PLAIN, "a.png", None)
        assert time.perf_counter() - started > 0.1
        assert not opened.closed


def test_a_frame_stays_for_its_time_but_time_that_has_passed_counts(opened: Window) -> None:
    started = time.perf_counter()
    for _ in range(3):
        opened.show(PLAIN, "a.mp4", 0.2)
    assert time.perf_counter() - started >= 0.4
    opened.show(PLAIN, "a.mp4", 2.0)
    time.sleep(2.0)
    started = time.perf_counter()
    opened.show(PLAIN, "a.mp4", 0.0)
    assert time.perf_counter() - started < 1.9


@pytest.mark.parametrize("key", ["q", "Escape", "button"])
def test_q_esc_and_the_button_close_it(key: str, opened: Window) -> None:
    started = time.perf_counter()
    if key == "button":
        opened._root.after(60, lambda: opened._root.tk.call(opened._root.protocol("WM_DELETE_WINDOW")))
    else:
        _press(opened, key)
    opened.show(PLAIN, "a.png", None)
    assert opened.closed
    assert time.perf_counter() - started < 50  # before it closes by itself
    opened.show(255 - PLAIN, "b.png", None)
    assert opened._root.title() == "a.png – title"


@pytest.fixture
def checkpoint(tiny: Configure, tmp_path: Path) -> str:
    return str(save_checkpoint(tmp_path / "a.ckpt", tiny(), CLASS_NAMES))


@pytest.mark.skipif(sys.platform != "linux", reason="a Mac always has a screen")
def test_without_a_screen_one_line_says_so_before_anything_is_written(
    checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tkinter")
    Image.fromarray(PLAIN).save(tmp_path / "a.png")
    monkeypatch.setenv("DISPLAY", ":4242")
    with pytest.raises(UserError, match=r"^show=true: no window can be opened here .*save=\[pictures\].*$"):
        predict(config.Predict(checkpoint, str(tmp_path / "a.png"), str(tmp_path / "out"), show=True))
    assert not (tmp_path / "out").exists()
    monkeypatch.delenv("DISPLAY")
    with pytest.raises(UserError, match=r"^show=true: no window can be opened here .*$"):
        Window("title")


def test_without_tkinter_one_line_says_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tkinter", None)
    with pytest.raises(UserError, match=r"^show=true: this Python has no tkinter.*apt-get install python3-tk.*$"):
        Window("title")


class Recorder:
    """Stands for the window: keeps what it is given, and is closed after so many pictures."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.shown: list[tuple[np.ndarray, str, float | None]] = []

    def __call__(self, title: str) -> Recorder:
        return self

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.left = True

    @property
    def closed(self) -> bool:
        return len(self.shown) >= self.most

    def show(self, picture: np.ndarray, name: str, seconds: float | None) -> None:
        if not self.closed:
            self.shown.append((picture, name, seconds))


def _shown(monkeypatch: pytest.MonkeyPatch, most: int, given: config.Predict) -> tuple[Recorder, list[dict[str, Any]]]:
    recorder = Recorder(most)
    monkeypatch.setattr(predicting, "Window", recorder)
    folder = predict(given)
    assert recorder.left
    return recorder, json.loads((folder / "detections.json").read_text())["pictures"]


def test_what_is_shown_is_what_is_written(checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    for i in range(3):
        cv2.imwrite(str(tmp_path / "in" / f"{i}.png"), np.full((60, 90, 3), 50 * i, np.uint8))
    given = config.Predict(checkpoint, str(tmp_path / "in"), str(tmp_path / "out"), show=True, score=0.6, batch_size=2)
    recorder, entries = _shown(monkeypatch, 99, given)
    assert [(name, seconds) for _, name, seconds in recorder.shown] == [(f"{i}.png", None) for i in range(3)]
    assert sum(len(entry["boxes"]) for entry in entries) > 0
    for picture, name, _ in recorder.shown:
        np.testing.assert_array_equal(picture, np.asarray(Image.open(tmp_path / "out" / "pictures" / name)))


def test_a_closed_window_ends_a_stream_and_what_was_found_is_whole(
    checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "a.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 20.0, (80, 60))
    for i in range(60):
        writer.write(np.full((60, 80, 3), 4 * i, np.uint8))
    writer.release()
    batches = []
    preprocess = predicting.Predictor.preprocess

    def counted(self: Any, pictures: Any, *rest: Any) -> Any:
        batches.append(len(pictures))
        return preprocess(self, pictures, *rest)

    monkeypatch.setattr(predicting.Predictor, "preprocess", counted)
    for source, seconds, batch in (("a.mp4", 1 / 20, 8), (f"file://{tmp_path}/a.mp4", 0.0, 1)):
        monkeypatch.chdir(tmp_path)
        out = tmp_path / f"out{batch}"
        batches.clear()
        recorder, entries = _shown(
            monkeypatch,
            5,
            config.Predict(checkpoint, source, str(out), show=True, save=[], score=0.9, accelerator="cpu"),
        )
        assert [one[2] for one in recorder.shown] == pytest.approx([seconds] * 5)
        assert [one[1] for one in recorder.shown] == [f"a.mp4, frame {i}" for i in range(5)]
        assert set(batches) == {batch}
        assert 5 <= len(entries) < 60
        assert [entry["frame"] for entry in entries] == list(range(len(entries)))
        assert {path.name for path in out.iterdir()} == {"detections.json", "overview.png"}
        said = capsys.readouterr().out
        assert "ended when the window was closed" in said
        assert "by its header" not in said
