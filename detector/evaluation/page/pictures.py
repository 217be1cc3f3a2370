"""Which images a page shows, inside itself or by a link to their files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from detector.columns import array
from detector.data.index import Index
from detector.errors import UserError
from detector.visualization.page.embedded import data_uri, jpeg

LONGEST_SIDE = 512
"""Pixels of the longer side of a picture inside the page; smaller images stay as they are."""
JPEG_QUALITY = 76
SUSPECTED = 20
"""Suspected label errors of each kind whose images are preferred, as the costliest images are."""


def embedded_pictures(analysis: Mapping[str, Any], index: Index, limit: float) -> tuple[dict[int, str], int]:
    """What `embedded` returns: the costliest images first, each followed by one of a suspected label error."""
    return embedded(_by_importance(analysis), index, limit)


def embedded(images: Iterable[int], index: Index, limit: float) -> tuple[dict[int, str], int]:
    """Images as data URIs, by their place in the index, and the number of images that could not be read.

    They are taken in their order until the next one would make the text longer than `limit` MB. Those that cannot be read
    are passed over: stored detections are measured without images.
    """
    room = int(limit * 1e6)
    pictures: dict[int, str] = {}
    unreadable = 0
    for image in images:
        if room <= 0:
            break
        try:
            uri = data_uri(jpeg(index.image(image), LONGEST_SIDE, JPEG_QUALITY))
        except UserError:
            unreadable += 1
            if unreadable >= 20 and not pictures:
                break  # the images are not here at all
            continue
        if len(uri) > room:
            break
        pictures[image] = uri
        room -= len(uri)
    return pictures, unreadable


def _by_importance(analysis: Mapping[str, Any]) -> Iterator[int]:
    cost = array(analysis["images"]["cost"])
    costly = iter((-cost).argsort(kind="stable").tolist())
    seen: dict[str, int] = {}
    suspected = []
    for case in analysis["label_errors"]["cases"]:
        seen[case["kind"]] = seen.get(case["kind"], 0) + 1
        if seen[case["kind"]] <= SUSPECTED:
            suspected.append((seen[case["kind"]], case["image"]))
    others = iter([image for _, image in sorted(suspected, key=lambda one: one[0])])
    given = set()
    for image in costly:
        for one in (image, next(others, None)):
            if one is not None and one not in given:
                given.add(one)
                yield one


def links(files: Sequence[str], folder: Path) -> list[str]:
    """The address of each image's file as seen from a page in `folder`; empty where the image is drawn."""
    return [quote(os.path.relpath(file, folder).replace(os.sep, "/")) if file else "" for file in files]
