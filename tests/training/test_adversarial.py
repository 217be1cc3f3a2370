from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from detector import config
from detector.checkpoint import build
from detector.data.module import DetectionData
from detector.errors import UserError
from detector.training.adversarial import SelfAdversary
from detector.types import Batch, Target


class Weighted(nn.Module):
    """A detector whose loss has a known gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0)))
        self.norm = nn.BatchNorm2d(3)

    def losses(self, images: Tensor, targets: list[Target]) -> dict[str, Tensor]:
        self.norm(images)
        return {"a": (self.weight * images).sum(), "b": (images.mean() - 1) * 0.0}


@pytest.fixture
def trained(tiny: Callable[..., config.Train]) -> tuple[nn.Module, Batch]:
    """A detector after a few steps, and the images of those."""
    settings = tiny()
    data = DetectionData.read(settings.data, config.Augment(name="none"), settings.image_size)
    batch = next(iter(data.train_dataloader()))
    torch.manual_seed(0)
    detector = build(settings, classes=len(data.class_names)).train()
    optimizer = torch.optim.AdamW(detector.parameters(), lr=1e-3)
    for _ in range(5):
        optimizer.zero_grad()
        total(detector, batch.images, batch).backward()
        optimizer.step()
    return detector, batch


def total(detector: nn.Module, images: Tensor, batch: Batch) -> Tensor:
    return torch.stack(list(detector.losses(images, batch.targets).values())).sum()  # type: ignore[operator]


def test_each_pixel_moves_by_the_strength_along_the_sign_of_its_gradient() -> None:
    detector = Weighted()
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    attacked = SelfAdversary(1.0, 3.0, 0).attacked(detector, images, [])
    expected = (images.float() + 3.0 * detector.weight.detach().sign()).clamp(0, 255)
    assert torch.equal(attacked, expected)
    assert not attacked.requires_grad


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_an_attack_raises_the_loss_more_than_chance_and_stays_within_its_strength(
    trained: tuple[nn.Module, Batch], dtype: torch.dtype
) -> None:
    detector, batch = trained
    images = batch.images.to(dtype)
    attacked = SelfAdversary(1.0, 4.0, 0).attacked(detector, images, batch.targets)
    assert attacked.dtype == torch.float32
    assert (attacked - images.float()).abs().max() <= 4
    assert attacked.min() >= 0
    assert attacked.max() <= 255
    assert torch.equal(images, batch.images.to(dtype))
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).sign() * 4
    with torch.no_grad():
        before = total(detector, images, batch)
        by_chance = total(detector, (images + noise).clamp(0, 255), batch)
        after = total(detector, attacked, batch)
    assert after > before + 3 * (by_chance - before).abs()


def test_an_attack_leaves_weights_gradients_and_buffers_alone(trained: tuple[nn.Module, Batch]) -> None:
    detector, batch = trained
    state = {name: value.clone() for name, value in detector.state_dict().items()}
    gradients = [parameter.grad.clone() for parameter in detector.parameters() if parameter.grad is not None]
    SelfAdversary(1.0, 4.0, 0).attacked(detector, batch.images, batch.targets)
    assert all(torch.equal(value, state[name]) for name, value in detector.state_dict().items())
    now = [parameter.grad for parameter in detector.parameters() if parameter.grad is not None]
    assert len(now) == len(gradients) > 0
    assert all(torch.equal(a, b) for a, b in zip(now, gradients, strict=True))
    assert detector.training


def test_training_on_an_attacked_batch_in_bfloat16_is_not_disturbed_by_the_attack(
    trained: tuple[nn.Module, Batch],
) -> None:
    detector, batch = trained

    def gradient(images: Tensor | None) -> tuple[Tensor, Tensor]:
        detector.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            if images is None:
                images = SelfAdversary(1.0, 4.0, 0).attacked(detector, batch.images, batch.targets)
            loss = total(detector, images, batch)
        loss.backward()
        return images, torch.cat([p.grad.flatten() for p in detector.parameters() if p.grad is not None])

    attacked, together = gradient(None)
    _, alone = gradient(attacked)
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)


def test_images_without_objects_can_be_attacked(trained: tuple[nn.Module, Batch]) -> None:
    detector, batch = trained
    for target in batch.targets:
        target.boxes, target.labels = target.boxes[:0], target.labels[:0]
        target.crowd, target.area = target.crowd[:0], target.area[:0]
    attacked = SelfAdversary(1.0, 4.0, 0).attacked(detector, batch.images, batch.targets)
    assert attacked.isfinite().all()


def test_the_share_of_steps_is_that_asked_for_and_the_same_again() -> None:
    adversary, other = SelfAdversary(0.3, 4.0, 1), SelfAdversary(0.3, 4.0, 2)
    steps = [adversary.attacks(step) for step in range(1000)]
    assert np.mean(steps) == pytest.approx(0.3, abs=0.04)
    assert steps == [adversary.attacks(step) for step in range(1000)]
    assert steps != [other.attacks(step) for step in range(1000)]
    assert not any(SelfAdversary(0.0, 4.0, 1).attacks(step) for step in range(100))
    assert all(SelfAdversary(1.0, 4.0, 1).attacks(step) for step in range(100))


@pytest.mark.parametrize(("share", "strength", "key"), [(1.5, 4, "adversarial=1.5"), (0.5, 300, "strength=300")])
def test_a_value_out_of_its_range_is_named(share: float, strength: float, key: str) -> None:
    with pytest.raises(UserError, match=key):
        SelfAdversary(share, strength, 0)
