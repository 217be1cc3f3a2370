"""What every command leaves behind: a new folder, pictures, JSON."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from detector.errors import UserError
from detector.signals import written_whole


def new_folder(parent: Path) -> Path:
    """A new folder `parent/DATE_TIME` and a link `parent/latest` to it.

    Raises:
        UserError: no folder can be made there.
    """
    identity = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    attempt = 0
    while True:
        folder = parent / (f"{identity}-{attempt}" if attempt else identity)
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            if not parent.is_dir():
                raise UserError(f"{parent}: is a file, a folder was expected") from None
            attempt += 1
        except OSError as error:
            raise UserError(f"{parent}: no folder can be made there ({error.strerror})") from error
    _link_latest(parent / "latest", folder.name)
    return folder


def _link_latest(link: Path, name: str) -> None:
    """Only a link to a folder beside it, as this function makes them, is replaced; anything else is the user's own."""
    if os.path.lexists(link) and not (link.is_symlink() and "/" not in os.readlink(link)):
        print(f"{link}: is no link of this project's and stays as it is; the new folder is {name}", file=sys.stderr)
        return
    unfinished = link.with_name(f".latest-{os.getpid()}.unfinished")
    try:
        unfinished.unlink(missing_ok=True)
        unfinished.symlink_to(name)
        os.replace(unfinished, link)
    except OSError as error:  # some file systems have no links
        unfinished.unlink(missing_ok=True)
        print(f"{link}: no link to the new folder {name} ({error.strerror})", file=sys.stderr)


def output_folder(given: str | None, parent: Path) -> Path:
    """The folder `given`, which may exist if it is empty; or else a new folder `parent/DATE_TIME`.

    Raises:
        UserError: `given` holds something already or cannot be a folder.
    """
    if given is None:
        return new_folder(parent)
    folder = Path(given).expanduser()
    try:
        if os.path.exists(folder) and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"output={folder}: exists already; name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"output={folder}: no folder can be made there ({error.strerror})") from error
    return folder


def new_file(given: str, key: str) -> Path:
    """The file `given`, which does not exist yet; folders on the way to it are made.

    Raises:
        UserError: it exists already, or no folder can be made there; `key` is the option that names it.
    """
    file = Path(given).expanduser()
    try:
        if os.path.lexists(file):
            raise UserError(f"{key}={file}: exists already; name a new file")
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{key}={file}: no file can be made there ({error.strerror})") from error
    return file


def write_picture(file: Path, picture: np.ndarray) -> None:
    """Writes uint8 [H, W, 3] RGB; the suffix decides the format.

    Raises:
        UserError: it cannot be written.
    """
    if not cv2.imwrite(str(file), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
        raise UserError(f"{file}: cannot be written; is the disk full?")


def write_json(path: Path, content: Any) -> None:
    """Indented JSON."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """The whole file or none: who finds it may rely on what it says."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    with written_whole(unfinished):
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
