import pytest
import torch
import torchvision
from torch import Tensor

from detector.errors import OptionError
from detector.losses.classification import ClassLoss

LOGITS = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
SOFT = torch.rand(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).mul(2).sub(1).clamp(min=0)
HARD = (SOFT > 0).double()


def test_focal_with_hard_targets_equals_torchvision() -> None:
    expected = torchvision.ops.sigmoid_focal_loss(LOGITS, HARD, alpha=-1, gamma=1.5)
    torch.testing.assert_close(ClassLoss("focal", gamma=1.5)(LOGITS, HARD), expected)


def test_focal_and_varifocal_equal_their_equations_written_out() -> None:
    focal, varifocal = ClassLoss("focal")(LOGITS, SOFT), ClassLoss("varifocal")(LOGITS, SOFT)
    for i in range(7):
        for k in range(5):
            p, q = LOGITS[i, k].sigmoid(), SOFT[i, k]
            cross_entropy = -(q * p.log() + (1 - q) * (1 - p).log())
            torch.testing.assert_close(focal[i, k], (q - p).abs() ** 2 * cross_entropy)
            expected = q * cross_entropy if q > 0 else -0.75 * p**2 * (1 - p).log()
            torch.testing.assert_close(varifocal[i, k], expected)


@pytest.mark.parametrize("kind", ["bce", "focal", "varifocal"])
def test_gradients_are_right_and_finite_at_extreme_logits(kind: str) -> None:
    loss = ClassLoss(kind)
    assert torch.autograd.gradcheck(lambda logits: loss(logits, SOFT), LOGITS.clone().requires_grad_())
    extreme = torch.tensor([-80.0, 0.0, 80.0], requires_grad=True)
    loss(extreme, torch.tensor([1.0, 0.0, 0.0])).sum().backward()
    assert extreme.grad is not None
    assert extreme.grad.isfinite().all()


def test_smoothing_keeps_the_sum_of_an_object_and_leaves_the_background_alone() -> None:
    targets = torch.zeros(2, 4)
    targets[0, 2] = 0.8
    logits = torch.zeros(2, 4, requires_grad=True)
    ClassLoss("bce", smoothing=0.1)(logits, targets).sum().backward()
    assert logits.grad is not None
    smoothed: Tensor = 0.5 - logits.grad  # the gradient of BCE is p − y
    torch.testing.assert_close(smoothed[0], torch.tensor([0.02, 0.02, 0.74, 0.02]))
    torch.testing.assert_close(smoothed[1], torch.zeros(4))


def test_an_unknown_kind_names_the_choices() -> None:
    with pytest.raises(OptionError, match="bce, focal, varifocal"):
        ClassLoss("softmax")
