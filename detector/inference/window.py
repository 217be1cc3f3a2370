"""A window that shows pictures one after the other: Tk's, which comes with Python, for opencv-python-headless opens none."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from detector.errors import UserError

NEXT = frozenset({"space", "Return", "Right"})
END = frozenset({"q", "Q", "Escape"})
SHARE_OF_SCREEN = 0.9
"""What a picture may take of the screen's width and height; larger ones are shrunk."""
LOOK = 0.01
"""Seconds after which a window that waits looks for keys."""


class Window:
    """A window on the screen, until it is closed: by q, Esc, its own button, or the end of the `with`.

    All of it belongs to the thread that made it.

    Raises:
        UserError: this Python has no tkinter, or there is no screen.
    """

    def __init__(self, title: str) -> None:
        instead = "without it, save=[pictures] writes what it would show"
        try:
            import tkinter

            from PIL import ImageTk
        except ImportError as error:
            raise UserError(
                f"show=true: this Python has no tkinter, which opens windows (Debian: apt-get install python3-tk); {instead}"
            ) from error
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as error:
            raise UserError(f"show=true: no window can be opened here ({error}); {instead}") from error
        self.title = title
        self.closed = False
        """Whether it has been closed by whoever looks at it."""
        self._photo = ImageTk.PhotoImage
        self._shown: Any = None
        self._next = False
        self._due = 0.0
        self._label = tkinter.Label(self._root, borderwidth=0)
        self._label.pack()
        self._root.resizable(False, False)
        self._root.title(title)
        self._root.bind("<Key>", self._pressed)
        self._root.protocol("WM_DELETE_WINDOW", self._close)

    def __enter__(self) -> Window:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown = None
        self._root.destroy()

    def show(self, picture: np.ndarray, name: str, seconds: float | None) -> None:
        """Shows a picture, uint8 [H, W, 3] RGB, in place of the one before.

        It stays for `seconds` at least, counted until the next call; with None the call lasts until space, Enter or → is
        pressed. After the window has been closed nothing is shown.
        """
        while not self.closed and time.perf_counter() < self._due:
            self._look()
        if self.closed:
            return
        self._paint(picture)
        self._root.title(f"{name} – {self.title}")
        self._root.update()
        self._next = seconds is not None
        while not (self.closed or self._next):
            self._look()
        self._due = time.perf_counter() + (seconds or 0)

    def _paint(self, picture: np.ndarray) -> None:
        image = Image.fromarray(picture)
        screen = self._root.winfo_screenwidth(), self._root.winfo_screenheight()
        image.thumbnail((int(screen[0] * SHARE_OF_SCREEN), int(screen[1] * SHARE_OF_SCREEN)))
        if self._shown is not None and (self._shown.width(), self._shown.height()) == image.size:
            self._shown.paste(image)
            return
        self._shown = self._photo(image, master=self._root)
        self._label.configure(image=self._shown)

    def _look(self) -> None:
        self._root.update()
        time.sleep(LOOK)

    def _pressed(self, event: Any) -> None:
        if event.keysym in END:
            self._close()
        self._next = self._next or event.keysym in NEXT

    def _close(self) -> None:
        self.closed = True
