"""The label file of each image of a YOLO data set."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from detector.data.folders import contents, walk
from detector.data.images.headers import IMAGE_SUFFIXES

IMAGE_FOLDERS = frozenset({"images", "image", "imgs", "img", "jpegimages"})
LABEL_FOLDERS = ("labels", "label", "annotations", "annotation")
NO_LABELS = frozenset(
    {
        "classes",
        "labels",
        "names",
        "obj",
        "predefined_classes",
        "readme",
        "readme.dataset",
        "readme.roboflow",
        "license",
    }
    | {"train", "val", "valid", "test", "trainval", "requirements"}
)
"""Names, without suffix, of text files that hold something else."""


def label_file(image: Path) -> Path:
    """The label file that an image has first of all: .../images/a/b.jpg → .../labels/a/b.txt, the last `images` of
    the path; beside the image where the path has none."""
    parts = list(image.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


@dataclass(frozen=True)
class Matches:
    """The label files of some images."""

    files: list[Path | None]
    """Label file of each image; None where there is none."""
    without_image: list[Path]
    """Label files in the same folders whose image is nowhere."""


class LabelFiles:
    """Finds label files; folders are listed once.

    The folders of an image are, in this order: its path with an `images` folder (or one of `IMAGE_FOLDERS`) replaced by
    `labels` (or one of `LABEL_FOLDERS`), the last one first; the image's own folder; `labels` in it; `labels/NAME`
    beside it, NAME its name; and the same of the folder that a link leads to. In each the file is the image's name with
    .txt in place of its suffix, or after it (`b.jpg.txt`, which comes first where two images differ in their suffix
    alone). What has no file by then takes one of the same name but for percent-encoding, Unicode normalisation and case.
    """

    def __init__(self) -> None:
        self._listings: dict[Path, dict[str, str]] = {}
        self._folders: dict[Path, list[Path]] = {}

    def match(self, images: Sequence[Path], places: Sequence[Path] = ()) -> Matches:
        """The label files of `images`, which were found in the folders `places`."""
        images_of: defaultdict[Path, set[Path]] = defaultdict(set)
        stems = Counter((image.parent, image.stem) for image in images)
        files: list[Path | None] = []
        for image in images:
            file = self._exactly(image, stems[image.parent, image.stem] > 1)
            if file is not None:
                images_of[file.parent].add(image.parent)
            files.append(file)
        self._nearly(images, files, images_of)
        for parent in {image.parent for image in images}:
            for folder in self._of(parent):
                if folder.name.lower() in LABEL_FOLDERS or folder in self._mirrors(parent):
                    images_of[folder].add(parent)
        claimed = {file for file in files if file is not None}
        return Matches(files, self._without_image(claimed, images_of, places))

    def _exactly(self, image: Path, shared_stem: bool) -> Path | None:
        names = (image.stem, image.name)
        for name in reversed(names) if shared_stem else names:
            for folder in self._of(image.parent):
                listing = self._listing(folder)
                if (found := listing.get(f"{name}.txt")) is not None:
                    return folder / found
        if image.is_symlink():
            real = Path(os.path.realpath(image))
            return self._exactly(real, False) if real != image else None
        return None

    def _nearly(
        self, images: Sequence[Path], files: list[Path | None], images_of: defaultdict[Path, set[Path]]
    ) -> None:
        """Fills in what has one image and one free file of the same `_key`."""
        missing: defaultdict[tuple[Path, str], list[int]] = defaultdict(list)
        for i, image in enumerate(images):
            if files[i] is None:
                missing[image.parent, _key(image.stem)].append(i)
        if not missing:
            return
        claimed = {file for file in files if file is not None}
        free: dict[Path, defaultdict[str, list[Path]]] = {}
        for (parent, key), owners in missing.items():
            for folder in self._of(parent):
                if folder not in free:
                    free[folder] = defaultdict(list)
                    for name in self._listing(folder).values():
                        if folder / name not in claimed:
                            free[folder][_key(Path(name).stem)].append(folder / name)
                candidates = free[folder].get(key, []) or free[folder].get(_key(images[owners[0]].name), [])
                if len(owners) == 1 and len(candidates) == 1 and candidates[0] not in claimed:
                    files[owners[0]] = candidates[0]
                    claimed.add(candidates[0])
                    images_of[folder].add(parent)
                    break

    def _without_image(
        self, claimed: set[Path], images_of: dict[Path, set[Path]], places: Sequence[Path]
    ) -> list[Path]:
        folders = dict(images_of)
        for place in places:
            for mirror in self._mirrors(place):
                if mirror not in places:
                    for folder, _ in walk(mirror):
                        folders.setdefault(folder, set())
        lost = []
        for folder in sorted(folders):
            pictured: set[str] = set()
            for parent in folders[folder]:
                pictured |= {
                    key
                    for name in contents(parent)[1]
                    if Path(name).suffix.lower() in IMAGE_SUFFIXES
                    for key in (_key(Path(name).stem), _key(name))
                }
            for name in sorted(set(self._listing(folder).values())):
                stem = Path(name).stem
                known = folder / name in claimed or _key(stem) in pictured or stem.lower() in NO_LABELS
                if not known and _holds_rows(folder / name):
                    lost.append(folder / name)
        return lost

    def _of(self, parent: Path) -> list[Path]:
        """The folders in which labels of the images in `parent` may be, those that exist."""
        if parent not in self._folders:
            found = [*self._mirrors(parent), parent]
            found += [parent / name for name in LABEL_FOLDERS]
            found += [parent.parent / name / parent.name for name in LABEL_FOLDERS]
            real = Path(os.path.realpath(parent))
            if real != Path(os.path.abspath(parent)):
                found += [*self._mirrors(real), real]
            self._folders[parent] = [folder for folder in dict.fromkeys(found) if folder.is_dir()]
        return self._folders[parent]

    def _mirrors(self, folder: Path) -> list[Path]:
        """The folder with `labels` in place of each `images` of its path, the last one first."""
        parts = folder.parts
        return [
            Path(*parts[:i], name, *parts[i + 1 :])
            for i in range(len(parts) - 1, -1, -1)
            if parts[i].lower() in IMAGE_FOLDERS
            for name in LABEL_FOLDERS
        ]

    def _listing(self, folder: Path) -> dict[str, str]:
        """Name with the suffix in lower case → name, of the text files in a folder."""
        if folder not in self._listings:
            names = [name for name in contents(folder)[1] if name[-4:].lower() == ".txt"]
            lower = {name[:-4] + ".txt": name for name in names}
            self._listings[folder] = {**lower, **{name: name for name in names}}
        return self._listings[folder]


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", unquote(name)).casefold()


def _holds_rows(file: Path) -> bool:
    """Whether a text file begins as labels do, with a number, or is empty."""
    try:
        if not file.is_file():
            return False
        with open(file, "rb") as stream:
            words = stream.read(200).replace(b"\0", b"").lstrip(b"\xff\xfe\xef\xbb\xbf").split()
        return not words or float(words[0]) >= 0
    except (OSError, ValueError):
        return False
