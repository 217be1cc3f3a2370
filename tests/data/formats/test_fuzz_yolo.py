"""Damaged data sets of YOLO's kind: each is read into an index that keeps its promises, or refused in one short line."""

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detector import config
from detector.data.problems import cheap_problems, summarise
from detector.data.read import has_test, read_split
from detector.errors import UserError

CASES = 40
"""Inputs a seed."""
SECONDS = 5
BYTES = [
    b"nan",
    b"1e999",
    b"-1",
    b"\0",
    b"\xff\xfe",
    b"9" * 400,
    b"\r",
    b"\n\n",
    b"\t",
    b"{",
    b"[",
    b": ",
    b"- ",
    b"&a ",
]
BYTES += [b"*a", b"<<: *a", b"1_0", "١".encode(), b"../../../etc/passwd", b"/dev/zero", b"\x1b[2J", b"~x", b"C:\\a\\"]
VALUES = [
    "null",
    "-1",
    "1e400",
    ".nan",
    "[]",
    "{}",
    "''",
    '"\\0"',
    "/etc/passwd",
    "/dev/zero",
    "'*'",
    "a" * 5000,
    "~nobody",
]
VALUES += [
    "12:30",
    "[[1]]",
    "!!int x",
    "!!binary '#'",
    "!!set {a}",
    "*z",
    "../images",
    "labels",
    '"\\ud800"',
    '"x\\ny"',
    ".",
]
YAMLS = ["train: {}\nnames: [a, b]\n", "train: images\nnames: {}\n", "train: images\nnames: [{}]\n"]
YAMLS += ["path: {}\ntrain: images\nnames: [a, b]\n", "train: [{}, images]\nnames: [a, b]\n"]
YAMLS += ["train: images\nnames: [a, b]\nnc: {}\n", "train: images\nnames: [a, b]\nkpt_shape: {}\n"]


def make(root: Path) -> list[Path]:
    """A sound data set; its files."""
    (root / "images").mkdir()
    (root / "labels").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    for n, suffix in enumerate(("png", "jpg", "tif", "webp", "gif", "bmp")):
        Image.fromarray(pixels).save(root / f"images/{n}.{suffix}")
        (root / f"labels/{n}.txt").write_text("0 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.5 0.1 0.5 0.5\n")
    (root / "list.txt").write_text("".join(f"images/{file.name}\n" for file in sorted((root / "images").iterdir())))
    (root / "data.yaml").write_text(
        "path: .\ntrain: [list.txt, images]\nval: images\nnames:\n  0: cat\n  1: dog\nnc: 2\n"
    )
    return sorted(file for file in root.rglob("*") if file.is_file())


def damaged(content: bytes, file: Path, chance: random.Random) -> bytes:
    """The content of a file after one of the accidents that files have."""
    if file.suffix == ".yaml" and chance.random() < 0.5:
        return chance.choice(YAMLS).replace("{}", chance.choice(VALUES)).encode("utf-8", "surrogatepass")
    match chance.randrange(7):
        case 0:
            return content[: chance.randrange(len(content))]
        case 1:
            changed = bytearray(content)
            for _ in range(chance.choice((1, 5, 40))):
                changed[chance.randrange(min(len(changed), 300))] = chance.choice((0, 255, 127, chance.randrange(256)))
            return bytes(changed)
        case 2:
            at = chance.randrange(len(content))
            return content[:at] + chance.choice(BYTES) + content[at + chance.choice((0, 3)) :]
        case 3:
            words = content.split(b" ")
            words[chance.randrange(len(words))] = chance.choice(BYTES)
            return b" ".join(words)
        case 4:
            return content.decode("utf-8", "replace").encode(
                chance.choice(("utf-16", "utf-32", "utf-8-sig")), "replace"
            )
        case 5:
            return content * chance.choice((2, 50))
    return chance.choice((b"", b"[" * 3000, b"\n", bytes(chance.randrange(256) for _ in range(200))))


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Of the processor's time: a busy machine is no fault."""

    def late(*_: object) -> None:
        pytest.fail(f"more than {seconds} s")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@pytest.mark.parametrize("seed", range(5))
def test_a_damaged_data_set_is_read_or_refused(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    files = make(tmp_path)
    data = config.Yolo(root=str(tmp_path))
    for _ in range(CASES):
        file = chance.choice([*files, tmp_path / "data.yaml"])
        sound = file.read_bytes()
        refusal = ""
        file.write_bytes(damaged(sound, file, chance))
        try:
            with within(SECONDS):
                has_test(data)
                index = read_split(data, "train")
                sizes = np.repeat(index.sizes, np.diff(index.offsets), axis=0)[:, ::-1]
                assert (index.boxes >= 0).all()
                assert (index.boxes[:, 2:] <= sizes).all()
                assert (index.boxes[:, 2:] > index.boxes[:, :2]).all()
                assert set(index.labels.tolist()) <= set(range(len(index.class_names)))
                assert len(set(index.image_ids.tolist())) == len(index)
                assert "\n" not in summarise(cheap_problems(index))
                for i in range(len(index)):
                    assert index.image(i).shape[:2] == tuple(index.sizes[i])
        except UserError as error:
            refusal = str(error)
        finally:
            file.write_bytes(sound)
        assert "\n" not in refusal
        assert len(refusal) < 2000
