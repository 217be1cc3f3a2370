"""How people name the three splits of a data set."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NAMES = {
    "train": {"train", "training", "trn"},
    "val": {"val", "valid", "validation", "dev"},
    "test": {"test", "testing", "tst"},
}
SPLITS = tuple(_NAMES)


def split_named(name: str) -> str | None:
    """The split that the words of a file's or a folder's name say: `instances_val2017` → "val"; None for none or two."""
    words = set(re.findall(r"[a-z]+", name.lower()))
    found = [split for split, names in _NAMES.items() if names & words]
    return found[0] if len(found) == 1 else None


def other_splits(parts: Iterable[str], split: str) -> bool:
    """Whether a path, given as its parts, leads through a folder of another split."""
    return any(named is not None and named != split for named in map(split_named, parts))
