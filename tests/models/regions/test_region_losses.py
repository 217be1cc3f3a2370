from typing import get_args

import pytest
import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import fastrcnn_loss
from torchvision.ops import complete_box_iou_loss, distance_box_iou_loss, generalized_box_iou_loss

from detector.errors import OptionError
from detector.models.regions.box_coding import decode, encode
from detector.models.regions.losses import RegionBoxLoss, RegionBoxLossKind, class_loss
from detector.models.regions.sampling import Samples

CLASSES = 4


def samples(count: int = 40, taken: int = 33) -> Samples:
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(count, 2, generator=generator) * 60
    regions = torch.cat([low, low + torch.rand(count, 2, generator=generator) * 40 + 10], dim=1)
    shifted = regions + torch.rand(count, 4, generator=generator) * 6
    labels = torch.randint(0, CLASSES + 1, (count,), generator=generator)
    is_taken = torch.arange(count) < taken
    positive = is_taken & (labels < CLASSES)
    return Samples(regions, labels, torch.where(positive[:, None], shifted, regions), is_taken, positive)


def predictions(count: int = 40, classes: int = CLASSES) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(count, CLASSES + 1, generator=generator, requires_grad=True)
    return logits, (torch.randn(count, classes, 4, generator=generator) / 2).requires_grad_()


def test_both_losses_are_torchvisions_over_the_samples_taken() -> None:
    """There the background is label 0 and has box changes of its own, which never learn."""
    some = samples()
    logits, changes = predictions()
    taken = some.taken
    expected = fastrcnn_loss(
        logits.roll(1, dims=1)[taken],
        torch.cat([torch.zeros(40, 1, 4), changes], dim=1).flatten(1)[taken],
        [((some.labels + 1) % (CLASSES + 1))[taken]],
        [encode(some.regions, some.boxes)[taken]],
    )
    torch.testing.assert_close(class_loss(logits, some), expected[0])
    torch.testing.assert_close(RegionBoxLoss("smooth_l1")(changes, some), expected[1])


@pytest.mark.parametrize(
    ("kind", "function"),
    [("giou", generalized_box_iou_loss), ("diou", distance_box_iou_loss), ("ciou", complete_box_iou_loss)],
)
def test_the_iou_family_is_torchvisions_on_decoded_boxes(kind: str, function: object) -> None:
    some = samples()
    _, changes = predictions()
    positive = some.positive.nonzero()[:, 0]
    boxes = decode(some.regions[positive], changes[positive, some.labels[positive]])
    expected = function(boxes, some.boxes[positive], reduction="sum") / 33  # type: ignore[operator]
    torch.testing.assert_close(RegionBoxLoss(kind)(changes, some), expected)


@pytest.mark.parametrize("kind", get_args(RegionBoxLossKind))
def test_only_positives_and_only_their_own_class_learn(kind: str) -> None:
    some = samples()
    _, changes = predictions()
    RegionBoxLoss(kind)(changes, some).backward()
    assert changes.grad is not None
    reached = changes.grad.abs().sum(-1) > 0
    rows = torch.arange(40)[some.positive]
    assert reached.nonzero().tolist() == [[i, some.labels[i].item()] for i in rows.tolist()]


@pytest.mark.parametrize("kind", get_args(RegionBoxLossKind))
def test_one_box_for_all_classes_learns_from_every_positive(kind: str) -> None:
    some = samples()
    _, changes = predictions(classes=1)
    RegionBoxLoss(kind)(changes, some).backward()
    assert changes.grad is not None
    assert torch.equal(changes.grad.abs().sum((1, 2)) > 0, some.positive)


@pytest.mark.parametrize("kind", get_args(RegionBoxLossKind))
def test_right_boxes_cost_nothing(kind: str) -> None:
    some = samples()
    changes = encode(some.regions, some.boxes)[:, None]
    assert RegionBoxLoss(kind)(changes, some).item() == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("count", [0, 5])
def test_without_samples_both_are_zero_and_have_gradients(count: int) -> None:
    some = samples(count, taken=0)
    logits, changes = predictions(count)
    total = class_loss(logits, some) + RegionBoxLoss("ciou")(changes, some)
    total.backward()
    assert total.item() == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()
    assert changes.grad is not None
    assert not changes.grad.any()


@pytest.mark.parametrize("kind", get_args(RegionBoxLossKind))
def test_bfloat16_and_regions_without_area_stay_finite(kind: str) -> None:
    flat = torch.tensor([[5.0, 5.0, 5.0, 9.0], [0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 0.0, 0.0]])
    some = Samples(
        flat,
        torch.tensor([0, 1, CLASSES]),
        flat.flip(0),
        torch.ones(3, dtype=torch.bool),
        torch.tensor([True, True, False]),
    )
    changes = torch.randn(3, CLASSES, 4, dtype=torch.bfloat16, requires_grad=True)
    loss = RegionBoxLoss(kind)(changes, some)
    loss.backward()
    assert loss.isfinite()
    assert changes.grad is not None
    assert changes.grad.isfinite().all()


def test_an_unknown_loss_is_answered_with_the_choices() -> None:
    with pytest.raises(OptionError, match=r"box_loss=l3: choose one of smooth_l1, l1, iou, giou, diou, ciou"):
        RegionBoxLoss("l3")
