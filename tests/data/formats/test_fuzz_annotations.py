"""Mutated annotations end in an index that keeps its promises or in a UserError of one line."""

import copy
import json
import math
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detector import config
from detector.data.index import Index
from detector.data.problems import cheap_problems, summarise
from detector.data.read import has_test, read_index
from detector.errors import UserError

INPUTS = 300
VALUES: list[Any] = [
    *(None, True, False, -1, 0, 3, 2**31, 2**63, 2**64, 10**30, 10**400, -(10**18), 1e308, 0.5, math.nan, math.inf),
    *(
        "",
        "abc",
        "1",
        " 2 ",
        "\0",
        "../../../../etc/passwd",
        "/etc/passwd",
        "/dev/zero",
        "a" * 5000,
        "\ud800",
        "x\ny",
        "a\\b",
    ),
    *([], {}, [[]], [1, 2], [1] * 5, {"a": 1}, [None] * 4, ["1"] * 4, [math.nan] * 4, [1e308] * 4, [10**400] * 4),
    *({"size": [48, 64], "counts": "no"}, {"size": [10**9, 10**9], "counts": [1, 2]}, [[1, 2, 3, 4, 5, math.nan]]),
]
WORDS = [
    "NaN",
    "inf",
    "1e999",
    "-5",
    "",
    "abc",
    "1e308",
    "3000000000",
    "9" * 400,
    "<x/>",
    "1_0",
    "0x10",
    "\u0661",
    "&a;",
    "\x1b",
]
TAGS = [
    "xmin",
    "ymin",
    "xmax",
    "ymax",
    "width",
    "height",
    "name",
    "difficult",
    "size",
    "bndbox",
    "object",
    "annotation",
]
BYTES = [
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"9" * 400,
    b"{",
    b"[",
    b"<",
    b">",
    b'"',
    b"\r",
    b"<!ENTITY a 'b'>",
    b"\xed\xa0\x80",
]
BOXES = [[(5, 6, 20, 10), (30, 8, 12, 30)], [(1, 1, 60, 40)]]


def coco_text() -> str:
    annotations = [
        {
            "id": 10 * i + n,
            "image_id": i,
            "category_id": 1 + n,
            "bbox": list(box),
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
        for i, boxes in enumerate(BOXES)
        for n, box in enumerate(boxes)
    ]
    del annotations[-1]["bbox"], annotations[-1]["area"]
    annotations[-1]["segmentation"] = [[1, 1, 5, 1, 5, 5]]
    annotations.append({**annotations[-1], "id": 99, "segmentation": {"size": [48, 64], "counts": [10, 20, 3042]}})
    return json.dumps(
        {
            "images": [{"id": i, "file_name": f"i{i}.png", "height": 48, "width": 64} for i in range(2)],
            "categories": [{"id": 1, "name": "cat", "supercategory": "pet"}, {"id": 2, "name": "dog"}],
            "annotations": annotations,
        },
        indent=1,
    )


def voc_text() -> str:
    objects = "".join(
        f"<object><name>cat</name><difficult>0</difficult>\n<bndbox><xmin>{x}</xmin><ymin>{y}</ymin>"
        f"<xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>\n"
        for x, y, w, h in BOXES[0]
    )
    return f"<annotation>\n<size><width>64</width><height>48</height></size>\n{objects}</annotation>\n"


def mutate_bytes(text: str, rng: random.Random) -> bytes:
    raw = bytearray(text.encode())
    start = rng.randrange(len(raw))
    end = min(len(raw), start + rng.randrange(1, 40))
    match rng.randrange(6):
        case 0:
            raw[start] ^= 1 << rng.randrange(8)
        case 1:
            del raw[start:]
        case 2:
            del raw[start:end]
        case 3:
            raw[start:start] = raw[start:end]
        case 4:
            raw[start:end] = rng.choice(BYTES)
        case _:
            return text.encode(rng.choice(["utf-16", "utf-32", "utf-8-sig"]))
    return bytes(raw)


def mutate_coco(text: str, rng: random.Random) -> bytes:
    if rng.random() < 0.3:
        return mutate_bytes(text, rng)
    if rng.random() < 0.05:
        return b'{"images":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    tree = json.loads(text)
    for _ in range(rng.choice((1, 1, 2, 5))):
        owner, key = rng.choice(list(places(tree)))
        match rng.randrange(4):
            case 0 | 1:
                owner[key] = copy.deepcopy(rng.choice(VALUES))
            case 2:
                del owner[key]
            case _:
                owner[key] = [owner[key]]
    return json.dumps(tree, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def places(tree: Any) -> Any:
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield tree, key
        if isinstance(value, dict | list):
            yield from places(value)


def mutate_voc(text: str, rng: random.Random) -> bytes:
    if rng.random() < 0.3:
        return mutate_bytes(text, rng)
    tag = rng.choice(TAGS)
    pattern = re.compile(rf"<{tag}>.*?</{tag}>", re.DOTALL)
    match rng.randrange(4):
        case 0:
            return pattern.sub("", text, count=1).encode()
        case 1:
            return pattern.sub(lambda found: found[0] * 3, text, count=1).encode()
        case 2:
            entity = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>' + text.replace("cat", "&b;")
            return rng.choice([entity.encode(), b"<a>" * 5_000 + b"</a>" * 5_000])
    return pattern.sub(lambda _: f"<{tag}>{rng.choice(WORDS)}</{tag}>", text, count=rng.choice((0, 1))).encode()


def assert_promises(index: Index) -> None:
    sizes = np.repeat(index.sizes, np.diff(index.offsets), axis=0)
    assert index.offsets[0] == 0
    assert (np.diff(index.offsets) >= 0).all()
    assert index.offsets[-1] == len(index.boxes) == len(index.labels) == len(index.crowd) == len(index.area)
    assert np.isfinite(index.boxes).all()
    assert (index.boxes >= 0).all()
    assert (index.boxes[:, 2:] <= sizes[:, ::-1]).all()
    assert (index.boxes[:, 2:] > index.boxes[:, :2]).all()
    assert ((index.labels >= 0) & (index.labels < len(index.class_names))).all()
    assert np.isfinite(index.annotations.boxes).all()
    assert np.isfinite(index.area).all()
    assert (index.area >= 0).all()
    assert (index.sizes > 0).all()
    ids = [index.image_id(i) for i in range(len(index))]
    assert len(set(ids)) == len(ids)
    summary = summarise(cheap_problems(index))
    assert "\n" not in summary + "".join(index.class_names) + "".join(index.notes)
    summary.encode()


def pictures(folder: Path) -> None:
    folder.mkdir(parents=True)
    for i in range(2):
        cv2.imwrite(str(folder / f"i{i}.png"), np.full((48, 64, 3), 40 * i, dtype=np.uint8))


@pytest.mark.parametrize("kind", ["coco", "voc"])
def test_a_mutated_file_is_read_to_a_sound_index_or_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    data: config.Data
    mutate: Callable[[str, random.Random], bytes]
    if kind == "coco":
        pictures(tmp_path / "images")
        data, file, text, mutate = config.Coco(train="train.json"), tmp_path / "train.json", coco_text(), mutate_coco
    else:
        pictures(tmp_path / "JPEGImages")
        for folder in ("Annotations", "ImageSets/Main"):
            (tmp_path / folder).mkdir(parents=True)
        (tmp_path / "ImageSets/Main/train.txt").write_text("i0\ni1\n")
        (tmp_path / "Annotations/i1.xml").write_text(voc_text())
        data, file, text, mutate = config.Voc(), tmp_path / "Annotations/i0.xml", voc_text(), mutate_voc
    data.root = str(tmp_path)
    outcomes = Counter[str]()
    refusals: list[str] = []
    for seed in range(INPUTS):
        file.write_bytes(mutate(text, random.Random(seed)))
        try:
            has_test(data)
            index = read_index(data, "train")
        except UserError as error:
            refusals.append(str(error))
            continue
        assert_promises(index)
        outcomes["read with problems" if index.problems else "read"] += 1
    assert not [text for text in refusals if "\n" in text or len(text) > 2000]
    assert outcomes["read"] > INPUTS / 20
    assert INPUTS - outcomes["read"] > INPUTS / 4, "the mutations hardly do anything"
