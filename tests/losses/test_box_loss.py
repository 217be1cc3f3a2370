import pytest
import torch
from torchvision import ops

from detector.boxes import IoUKind, aligned_iou
from detector.errors import OptionError
from detector.losses.box import BoxLoss

SIZE = (100, 200)
KINDS = ["iou", "giou", "diou", "ciou", "l1", "l2"]


def pairs(n: int = 40, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)

    def boxes() -> torch.Tensor:
        corner = torch.rand(n, 2, generator=generator, dtype=torch.float64) * 60
        return torch.cat([corner, corner + torch.rand(n, 2, generator=generator, dtype=torch.float64) * 40 + 1], dim=1)

    return boxes().to(dtype), boxes().to(dtype)


@pytest.mark.parametrize(
    ("kind", "reference"),
    [
        ("giou", ops.generalized_box_iou_loss),
        ("diou", ops.distance_box_iou_loss),
        ("ciou", ops.complete_box_iou_loss),
    ],
)
def test_value_and_gradient_equal_torchvision(kind: str, reference: object) -> None:
    predicted, target = pairs()
    ours, theirs = predicted.clone().requires_grad_(), predicted.clone().requires_grad_()
    loss = BoxLoss(kind)(ours, target, SIZE)
    expected = reference(theirs, target, reduction="none")  # type: ignore[operator]
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=0)
    loss.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=0)


def test_iou_loss_is_one_minus_torchvisions_iou() -> None:
    predicted, target = pairs()
    expected = 1 - ops.box_iou(predicted, target).diagonal()
    torch.testing.assert_close(BoxLoss("iou")(predicted, target, SIZE), expected, atol=1e-6, rtol=0)


def test_l1_and_l2_equal_a_loop_over_coordinates() -> None:
    predicted, target = pairs(5)
    for kind, power in (("l1", 1), ("l2", 2)):
        expected = [
            sum(abs((p[i] - t[i]) / (200 if i % 2 == 0 else 100)).item() ** power for i in range(4))
            for p, t in zip(predicted, target, strict=True)
        ]
        torch.testing.assert_close(BoxLoss(kind)(predicted, target, SIZE).tolist(), expected)


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "l1", "l2"])
def test_gradcheck(kind: str) -> None:
    predicted, target = pairs(8)
    assert torch.autograd.gradcheck(lambda p: BoxLoss(kind)(p, target, SIZE), predicted.requires_grad_())


def test_ciou_gradient_treats_alpha_as_a_constant() -> None:
    predicted, target = pairs(8)
    predicted.requires_grad_()
    (gradient,) = torch.autograd.grad(aligned_iou(predicted, target, "ciou").sum(), predicted)

    # the same formula with α put in as numbers has a gradient that finite differences can confirm
    difference = (aligned_iou(predicted, target, "diou") - aligned_iou(predicted, target, "ciou")).detach()
    size_p, size_t = predicted[:, 2:] - predicted[:, :2], target[:, 2:] - target[:, :2]
    v = (4 / torch.pi**2) * (torch.atan(size_t[:, 0] / size_t[:, 1]) - torch.atan(size_p[:, 0] / size_p[:, 1])) ** 2
    alpha = difference / v.detach()

    def with_constant_alpha(p: torch.Tensor) -> torch.Tensor:
        size = p[:, 2:] - p[:, :2]
        angle = torch.atan(size_t[:, 0] / size_t[:, 1]) - torch.atan(size[:, 0] / size[:, 1])
        return aligned_iou(p, target, "diou") - alpha * (4 / torch.pi**2) * angle**2

    assert torch.autograd.gradcheck(with_constant_alpha, predicted)
    (expected,) = torch.autograd.grad(with_constant_alpha(predicted).sum(), predicted)
    torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_finite_on_degenerate_boxes(kind: str, dtype: torch.dtype) -> None:
    degenerate = torch.tensor(
        [[5, 5, 5, 5], [0, 0, 0, 0], [10, 10, 4, 4], [0, 0, 600, 600], [5, 5, 5, 50]], dtype=dtype
    )
    predicted = degenerate.repeat_interleave(5, dim=0).requires_grad_()
    loss = BoxLoss(kind)(predicted, degenerate.repeat(5, 1), SIZE)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_perfect_box_costs_nothing_and_any_shift_costs_something(kind: str) -> None:
    _, target = pairs()
    loss = BoxLoss(kind)
    assert loss(target, target, SIZE).abs().max() < 1e-6
    assert (loss(target + torch.tensor([3.0, 0, 3.0, 0]), target, SIZE) > 1e-5).all()


def test_iou_family_does_not_grow_with_the_box_and_coordinate_losses_do() -> None:
    target = torch.tensor([[10.0, 10.0, 20.0, 20.0]], dtype=torch.float64)
    predicted = target + torch.tensor([2.0, 0.0, 2.0, 0.0])
    kinds: list[IoUKind] = ["iou", "giou", "diou", "ciou"]
    for kind in kinds:
        assert BoxLoss(kind)(predicted * 8, target * 8, SIZE).item() == pytest.approx(
            BoxLoss(kind)(predicted, target, SIZE).item(), abs=1e-6
        )
    assert BoxLoss("l2")(predicted * 8, target * 8, SIZE).item() == pytest.approx(
        64 * BoxLoss("l2")(predicted, target, SIZE).item()
    )


def test_an_unknown_kind_names_the_key_and_the_choices() -> None:
    with pytest.raises(OptionError, match=r"box=cioU: choose one of iou, giou"):
        BoxLoss("cioU")
