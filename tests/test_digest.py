from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from detector.digest import digest


def content() -> dict[str, Any]:
    return {
        "weights": OrderedDict(a=torch.arange(24.0).reshape(1, 2, 3, 4), b=torch.tensor(3)),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "best": {"AP": 0.1, "epoch": 3, "name": "ä", "nothing": None, "right": True},
        "places": [(1, 2.5), [], b"x"],
    }


def test_a_digest_survives_a_file_and_any_order_in_memory(tmp_path: Path) -> None:
    first = digest(content())
    torch.save(content(), tmp_path / "a.pt")
    assert digest(torch.load(tmp_path / "a.pt", weights_only=True)) == first
    moved = content()
    moved["weights"]["a"] = moved["weights"]["a"].contiguous(memory_format=torch.channels_last)
    assert digest(moved) == first


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["weights"]["a"].view(torch.uint8).view(-1).__setitem__(7, 1),
        lambda c: c["weights"].__setitem__("a", c["weights"]["a"].reshape(2, 1, 3, 4)),
        lambda c: c["weights"].__setitem__("b", torch.tensor(3, dtype=torch.int32)),
        lambda c: c["weights"].__setitem__("c", c["weights"].pop("b")),
        lambda c: c["best"].__setitem__("epoch", 3.0),
        lambda c: c["best"].__setitem__("right", 1),
        lambda c: c["best"].__setitem__("name", "a"),
        lambda c: c["best"].__setitem__("nothing", "None"),
        lambda c: c["places"].__setitem__(0, [1, 2.5]),
        lambda c: c["places"][1].append([]),
        lambda c: c.pop("half"),
    ],
)  # fmt: skip
def test_any_change_changes_the_digest(change: Any) -> None:
    changed = content()
    change(changed)
    assert digest(changed) != digest(content())


def test_what_has_no_digest_is_refused() -> None:
    with pytest.raises(TypeError, match="a object has no digest"):
        digest({"a": object()})
