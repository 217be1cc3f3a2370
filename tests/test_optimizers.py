import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR, OneCycleLR

from detector import config
from detector.errors import OptionError
from detector.optimizers import rate


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def walk(optimizer: Optimizer, schedule: object, steps: int) -> list[tuple[float, float]]:
    """(rate, momentum) at each step."""
    seen = []
    for _ in range(steps):
        group = optimizer.param_groups[0]
        seen.append((group["lr"], group["momentum"] if "momentum" in group else group["betas"][0]))
        optimizer.step()
        schedule.step()  # type: ignore[attr-defined]
    return seen


def ours(part: config.OptimizerOptions, total: int, warmup: int = 0) -> list[tuple[float, float]]:
    optimizer = part.build(network(), fused=False)
    return walk(optimizer, part.build_schedule(optimizer, total, warmup), total)


@pytest.mark.parametrize("part", [config.SGDOptions(weight_decay=0.3), config.AdamWOptions(weight_decay=0.3)])
def test_weights_decay_and_norms_and_biases_do_not(part: config.OptimizerOptions) -> None:
    module = network()
    optimizer = part.build(module, fused=False)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    named = {name: decay[id(parameter)] for name, parameter in module.named_parameters()}
    assert named == {"0.weight": 0.3, "0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0}


def test_what_is_frozen_is_not_given_to_the_optimizer() -> None:
    module = network()
    module[0].requires_grad_(False)  # type: ignore[index]
    optimizer = config.SGDOptions().build(module, fused=False)
    given = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert given == {id(p) for p in module[1].parameters()}  # type: ignore[index]


def test_two_steps_of_sgd_are_nesterov_s_by_hand() -> None:
    """Sutskever et al. 2013 as PyTorch writes it: v ← μ v + g, w ← w − lr (g + μ v), g with the decay λ w in it."""
    lr, momentum, decay = 0.1, 0.9, 0.01
    module = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(module.weight, 2.0)
    optimizer = config.SGDOptions(lr=lr, momentum=momentum, weight_decay=decay).build(module, fused=False)
    weight, velocity = 2.0, 0.0
    for gradient in (3.0, -1.0):
        module.weight.grad = torch.full_like(module.weight, gradient)
        optimizer.step()
        slope = gradient + decay * weight
        velocity = momentum * velocity + slope
        weight -= lr * (slope + momentum * velocity)
        assert module.weight.item() == pytest.approx(weight)


def test_two_steps_of_adamw_are_the_paper_s_by_hand() -> None:
    """Loshchilov & Hutter 2019, algorithm 2, with β1 = `momentum`."""
    lr, momentum, decay = 0.1, 0.6, 0.05
    module = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(module.weight, 2.0)
    optimizer = config.AdamWOptions(lr=lr, momentum=momentum, weight_decay=decay).build(module, fused=False)
    weight, first, second = 2.0, 0.0, 0.0
    for t, gradient in enumerate((3.0, -1.0), start=1):
        module.weight.grad = torch.full_like(module.weight, gradient)
        optimizer.step()
        first = momentum * first + (1 - momentum) * gradient
        second = 0.999 * second + 0.001 * gradient**2
        corrected = first / (1 - momentum**t) / (math.sqrt(second / (1 - 0.999**t)) + 1e-8)
        weight = weight - lr * decay * weight - lr * corrected
        assert module.weight.item() == pytest.approx(weight)


@pytest.mark.parametrize("kind", [config.SGDOptions, config.AdamWOptions])
def test_one_cycle_is_what_smith_and_topin_describe(kind: type[config.SGDOptions]) -> None:
    part = kind(lr=0.2, schedule="one_cycle", rise=0.25, momentum=0.95, lowest_momentum=0.85)
    seen = ours(part, total=100)

    def arc(start: float, end: float, share: float) -> float:
        return start + (end - start) * (1 - math.cos(math.pi * share)) / 2

    # 25 of 100 steps climb: the top is at step 24, the end at step 99
    for step in (0, 1, 12, 24):
        share = step / 24
        assert seen[step] == pytest.approx((arc(0.2 / 25, 0.2, share), arc(0.95, 0.85, share)))
    for step in (25, 60, 98, 99):
        share = (step - 24) / 75
        assert seen[step] == pytest.approx((arc(0.2, 0.2 / 250_000, share), arc(0.85, 0.95, share)))
    assert max(range(100), key=lambda step: seen[step][0]) == 24


def test_one_cycle_is_pytorch_s_own() -> None:
    part = config.SGDOptions(lr=0.1, schedule="one_cycle")
    optimizer = part.build(network(), fused=False)
    theirs = OneCycleLR(optimizer, 0.1, total_steps=60, pct_start=0.3, base_momentum=0.85, max_momentum=0.9)
    assert np.allclose(walk(optimizer, theirs, 60), ours(part, total=60))


@pytest.mark.parametrize("total", [1, 2, 3, 4, 5, 10])
@pytest.mark.parametrize("rise", [0.01, 0.25, 0.3, 0.5, 0.99])
def test_a_cycle_of_any_length_has_finite_rates(total: int, rise: float) -> None:
    seen = ours(config.SGDOptions(schedule="one_cycle", rise=rise), total)
    assert all(0 < lr <= 0.01 * (1 + 1e-9) and 0.85 <= momentum <= 0.9 for lr, momentum in seen)


def test_cosine_is_pytorch_s_own_after_the_warm_up() -> None:
    part = config.SGDOptions(lr=0.1, schedule="cosine", final_lr=0.05)
    optimizer = part.build(network(), fused=False)
    theirs = walk(optimizer, CosineAnnealingLR(optimizer, T_max=80, eta_min=0.005), 80)
    assert np.allclose(ours(part, total=100, warmup=20)[20:], theirs)


def test_steps_are_pytorch_s_own() -> None:
    part = config.SGDOptions(lr=0.1, schedule="steps", steps=[0.5, 0.75])
    optimizer = part.build(network(), fused=False)
    theirs = walk(optimizer, MultiStepLR(optimizer, [50, 75], gamma=0.1), 100)
    assert np.allclose(ours(part, total=100), theirs)


def test_the_warm_up_is_linear_from_zero() -> None:
    share = rate(config.SGDOptions(schedule="constant"), 100, 4)
    assert [share(step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (
            config.SGDOptions(schedule="onecycle"),
            "schedule=onecycle: choose one of cosine, steps, one_cycle, constant",
        ),
        (config.SGDOptions(schedule="one_cycle", rise=1.0), "rise=1.0: must lie between 0 and 1"),
        (config.SGDOptions(schedule="one_cycle", momentum=0.5), "lowest_momentum=0.85: must lie between 0 and"),
        (config.ScheduleFreeOptions(schedule="cosine"), "schedule=cosine: schedule_free averages instead"),
        (config.ScheduleFreeOptions(schedule="one_cycle"), "schedule=one_cycle: schedule_free averages instead"),
        (config.ScheduleFreeOptions(momentum=0.0), "momentum=0.0: schedule_free needs one between 0 and 1"),
    ],
)
def test_what_cannot_be_is_refused(part: config.OptimizerOptions, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        part.build_schedule(part.build(network(), fused=False), 10, 0)


@pytest.mark.parametrize("part", [config.SGDOptions, config.AdamWOptions, config.ScheduleFreeOptions])
def test_at_the_batch_of_the_recipe_the_rate_is_the_recipe_s_to_the_last_bit(
    part: type[config.OptimizerOptions],
) -> None:
    for images in (1, 3, 7, 48, 1000):
        assert part(lr=0.0123, lr_batch=images).for_batch(images) == part(lr=0.0123, lr_batch=images)
    there = part(lr=0.0123, lr_batch=8).for_batch(24)
    assert there.lr_batch == 24
    assert there.lr == pytest.approx(0.0123 * (3 if part is config.SGDOptions else 3**0.5))
    assert there.weight_decay == part().weight_decay


def test_schedule_free_follows_the_equations_of_its_paper() -> None:
    # Defazio et al. 2024, algorithm 1 (AdamW form), written out with z and x apart; the library holds only y and z.
    part = config.ScheduleFreeOptions(lr=0.1, weight_decay=0.02, momentum=0.9)
    weight = nn.Parameter(torch.tensor([[1.0, -2.0]], dtype=torch.float64))
    module = nn.Module()
    module.weight = weight
    optimizer = part.build(module, warmup_steps=3)
    optimizer.train()  # type: ignore[attr-defined]
    z = x = weight.detach().clone()
    second, sum_of_weights = torch.zeros_like(z), 0.0
    for step in range(1, 9):
        y = 0.1 * z + 0.9 * x
        assert torch.allclose(weight, y)
        gradient = torch.sin(3 * y) + y
        weight.grad = torch.sin(3 * weight.detach()) + weight.detach()
        optimizer.step()
        lr = 0.1 * min(step / 3, 1)
        second = 0.999 * second + 0.001 * gradient**2
        z = z - lr * (gradient / ((second / (1 - 0.999**step)).sqrt() + 1e-8) + 0.02 * y)
        sum_of_weights += lr**2
        share = lr**2 / sum_of_weights
        x = (1 - share) * x + share * z
    optimizer.eval()  # type: ignore[attr-defined]
    assert torch.allclose(weight, x)
