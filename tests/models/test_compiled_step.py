"""`trainer.compile=step`: network, assigner and losses are translated once for a whole training."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from composition import composed
from torch import Tensor, nn

from detector.assigners.assigner import Assigner
from detector.assigners.max_iou import MaxIoUAssigner
from detector.assigners.simota import SimOTAAssigner
from detector.assigners.task_aligned import TaskAlignedAssigner
from detector.checkpoint import build
from detector.heads.anchor_based import AnchorBasedHead
from detector.heads.anchor_free import AnchorFreeHead
from detector.losses.box import BoxLoss
from detector.losses.classification import ClassLoss
from detector.losses.criterion import Criterion
from detector.models.single_shot import SingleShot
from detector.nms import NMS
from detector.types import FeatureInfo, Target

LEVELS = FeatureInfo(("P3", "P4"), (4, 4), (8, 16))
ANCHORS = [[[0.2, 0.2], [0.1, 0.3]], [[0.5, 0.4]]]
SIDES = 64, 64, 64, 64, 96, 32


class Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 8, 8), nn.Conv2d(4, 4, 2, 2)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        low = self.first(images)
        return {"P3": low, "P4": self.second(low)}


def target(count: int, seed: int) -> Target:
    generator = torch.Generator().manual_seed(seed)
    size = 4 + torch.rand(count, 2, generator=generator) * 24
    low = torch.rand(count, 2, generator=generator) * 8
    labels = torch.randint(0, 3, (count,), generator=generator)
    return Target(
        torch.cat([low, low + size], 1), labels, torch.arange(count) == 2, size[:, 0], seed, (64, 64), torch.eye(3)
    )


@pytest.fixture
def one_translation(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A second one raises. Without inductor, whose work takes a C++ compiler and minutes: what is traced is the same."""
    torch._dynamo.reset()
    compile_it = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda function, **options: compile_it(function, backend="eager", fullgraph=True)
    )
    with torch._dynamo.config.patch(error_on_recompile=True):
        yield
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("anchors", "assigner"),
    [(False, TaskAlignedAssigner()), (False, SimOTAAssigner()), (True, MaxIoUAssigner())],
    ids=["task_aligned", "simota", "max_iou"],
)
@pytest.mark.usefixtures("one_translation")
def test_one_translation_serves_batches_of_any_size_with_any_objects(anchors: bool, assigner: Assigner) -> None:
    torch.manual_seed(0)
    head: Any = (
        AnchorBasedHead(LEVELS, 3, ANCHORS, 64) if anchors else AnchorFreeHead(LEVELS, 3, convolutions=0, bins=4)
    )
    criterion = Criterion(assigner, BoxLoss("ciou"), ClassLoss("bce"))
    detector = SingleShot(Backbone(), nn.Identity(), head, criterion, NMS())  # type: ignore[arg-type]
    counts = (3, 0, 9), (0, 0, 0), (30, 1, 1), (2, 7), (1, 2, 3), (60, 0, 1, 5)
    batches = [
        (
            torch.randint(0, 256, (len(numbers), 3, side, side), dtype=torch.uint8),
            [target(number, 10 * i + seed) for seed, number in enumerate(numbers)],
        )
        for i, (numbers, side) in enumerate(zip(counts, SIDES, strict=True))
    ]
    expected = [detector.losses(*batch) for batch in batches]
    detector.compile_losses()
    for (images, targets), losses in zip(batches, expected, strict=True):
        for dimension in (0, 2, 3):
            torch._dynamo.maybe_mark_dynamic(images, dimension)
        compiled = detector.losses(images, targets)
        assert compiled.keys() == losses.keys()
        for name, loss in losses.items():
            torch.testing.assert_close(compiled[name], loss, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "overrides",
    [
        ("backbone.width=0.125", "backbone.depth=0.33", "neck.width=0.125", "neck.depth=0.33"),
        pytest.param(("backbone=resnet18", "neck=fpn", "neck.highest=6"), marks=pytest.mark.slow),
        pytest.param(("backbone=darknet19", "neck=pan"), marks=pytest.mark.slow),
        pytest.param(("backbone=efficientnet_b0", "neck=none"), marks=pytest.mark.slow),
        pytest.param(("backbone=vgg11", "neck=fpn"), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("one_translation")
def test_a_whole_network_is_one_piece(overrides: tuple[str, ...]) -> None:
    """PyTorch 2.11 does not follow all of Python: where it gives up, a step falls into pieces whose sizes are unknown."""
    network: Any = build(composed("data=shapes", "image_size=64", *overrides), 3).eval()
    images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    expected = network(images)
    found = torch.compile(network.forward)(images)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor)
