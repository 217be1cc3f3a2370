from __future__ import annotations

from pathlib import Path

import pytest
import torch
from seminar_experiments import fulfilled

from detector.seminar import faces


def test_aligned_faces_are_learned_without_sharing_and_shuffled_ones_with_it(tmp_path: Path) -> None:
    assert fulfilled(lambda: faces.where_it_does_not_help(seeds=(0,), numbers=(32,)), tmp_path).conditions


def test_a_face_smiles_with_its_mouth_open_upwards_and_its_eyes_open_downwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch, "randn", lambda *shape, **_: torch.zeros(*shape[0]) if len(shape) == 1 else torch.zeros(*shape)
    )
    images, labels = faces.faces(200, True, torch.Generator().manual_seed(0))
    seen = set()
    for image, label in zip(images[:, 0], labels.tolist(), strict=True):
        for part, (row, column) in (("eye", (1, 0)), ("eye", (1, 7)), ("mouth", (8, 3))):
            drawn = image[row : row + 3, column : column + 5]
            if not torch.equal(drawn, faces.LINE):
                seen.add((part, "up" if torch.equal(drawn, faces.ARC) else "down", label))
    assert seen == {("mouth", "up", 1), ("mouth", "down", 0), ("eye", "down", 1), ("eye", "up", 0)}


def test_shuffled_parts_lie_anywhere_and_mean_the_same_everywhere() -> None:
    images, labels = faces.faces(300, False, torch.Generator().manual_seed(0))
    kernel = faces.ARC - faces.ARC.flip(0)
    highest = torch.nn.functional.conv2d(images, kernel[None, None])
    upwards = highest.amax((1, 2, 3)) > (-highest).amax((1, 2, 3))
    assert (upwards.long() == labels).double().mean() > 0.9
