"""What every head promises with every assigner, inside a whole detector."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from detector import config
from detector.checkpoint import build
from detector.errors import UserError
from detector.targets import Target, Targets

ANCHOR_FREE, ANCHOR_BASED = config.AnchorFreeHeadOptions(convolutions=1), config.AnchorBasedHeadOptions()
PAIRS = [
    pytest.param(ANCHOR_FREE, config.SimOTAAssignerOptions(), id="anchor_free-simota"),
    pytest.param(ANCHOR_BASED, config.SimOTAAssignerOptions(), id="anchor_based-simota"),
    pytest.param(ANCHOR_BASED, config.TaskAlignedAssignerOptions(), id="anchor_based-task_aligned"),
    pytest.param(ANCHOR_BASED, config.MaxIoUAssignerOptions(), id="anchor_based-max_iou"),
]
Configure = Callable[..., config.Train]


def target(count: int, seed: int = 0) -> Target:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=generator) * 70
    return Target(
        boxes=torch.cat([low, low + torch.rand(count, 2, generator=generator) * 25 + 1], dim=1),
        labels=torch.randint(0, 5, (count,), generator=generator),
        crowd=torch.zeros(count, dtype=torch.bool),
        area=torch.ones(count),
        image_id=0,
        original_size=(96, 96),
        transform=torch.eye(3),
    )


def images(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def make(tiny: Configure, head: config.HeadOptions, assigner: config.AssignerOptions) -> Any:
    torch.manual_seed(0)
    return build(tiny(head=head, assigner=assigner), classes=5)


@pytest.mark.parametrize(("head", "assigner"), PAIRS)
@pytest.mark.parametrize("counts", [(0, 0), (3, 0), (2000, 1)])
def test_losses_and_gradients_are_finite_for_any_number_of_objects(
    tiny: Configure, head: config.HeadOptions, assigner: config.AssignerOptions, counts: tuple[int, int]
) -> None:
    detector = make(tiny, head, assigner)
    losses = detector.losses(images(2), [target(count, seed) for seed, count in enumerate(counts)])
    assert ("objectness" in losses) == (head.name == "anchor_based")
    assert ("distribution" in losses) == (head.name == "anchor_free")
    assert (losses["box"].item() == 0.0) == (counts == (0, 0))
    sum(losses.values()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in detector.parameters())


@pytest.mark.parametrize(("head", "assigner"), PAIRS)
def test_losses_of_a_batch_equal_those_of_its_images_weighted_by_their_pairs(
    tiny: Configure, head: config.HeadOptions, assigner: config.AssignerOptions
) -> None:
    detector = make(tiny, head, assigner).eval()
    pictures, targets = images(3), [target(4, 1), target(0), target(9, 2)]
    expected: dict[str, float] = {}
    whole = 0.0
    for i, one in enumerate(targets):
        raw = detector(pictures[i : i + 1])
        points = detector.head.points((96, 96), pictures.device)
        boxes = detector.head.decode(raw["box_logits"], points)
        objects = Targets([one]).objects
        candidates = detector.criterion.candidates(points, objects)
        found = detector.criterion.assigner(detector.head.scores(raw), boxes, points, objects, candidates)
        total = found.weights.sum().item()
        whole += total
        for name, loss in detector.losses(pictures[i : i + 1], [one]).items():
            expected[name] = expected.get(name, 0.0) + loss.item() * max(total, 1.0)
    for name, loss in detector.losses(pictures, targets).items():
        assert loss.item() == pytest.approx(expected[name] / max(whole, 1.0), rel=1e-4)


def test_random_weights_detect_boxes_of_about_the_anchors_best_first(tiny: Configure) -> None:
    detector = make(tiny, config.AnchorBasedHeadOptions(prior_probability=0.5), config.MaxIoUAssignerOptions()).eval()
    together = detector.detect(images(2))
    for i, found in enumerate(together):
        assert 0 < len(found) <= 100
        assert (found.scores.diff() <= 0).all()
        assert 0 < found.scores.min() <= found.scores.max() < 1
        assert set(found.labels.tolist()) <= set(range(5))
        sides = (found.boxes[:, 2:] - found.boxes[:, :2]) / 96
        assert (sides > 0.5 * 0.024).all()
        assert (sides < 2 * 0.897).all()
        centres = (found.boxes[:, 2:] + found.boxes[:, :2]) / 2
        assert ((centres > 0) & (centres < 96)).all()
        (alone,) = detector.detect(images(2)[i : i + 1])
        torch.testing.assert_close(found.boxes, alone.boxes, atol=1e-3, rtol=1e-4)


def test_a_checkpoint_keeps_its_anchors_in_pixels(tiny: Configure) -> None:
    anchors = [[[0.1, 0.2]], [[0.4, 0.3]], [[0.5, 0.5]]]
    detector = make(tiny, config.AnchorBasedHeadOptions(anchors=anchors), config.MaxIoUAssignerOptions())
    for side in (96, 192):
        points = detector.head.points((side, side), torch.device("cpu"))
        torch.testing.assert_close(points.anchors[-1], torch.tensor([48.0, 48.0]))


def test_anchors_are_not_compared_where_there_are_none(tiny: Configure) -> None:
    with pytest.raises(UserError, match=r"assigner=max_iou .* head=anchor_free has none: choose head=anchor_based"):
        make(tiny, ANCHOR_FREE, config.MaxIoUAssignerOptions())
