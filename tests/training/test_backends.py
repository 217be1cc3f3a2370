from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from detector import config
from detector.errors import UserError
from detector.models.single_shot import SingleShot
from detector.training.backends import Backends
from detector.training.train import train

Configure = Callable[..., config.Train]
Switches = dict[str, object]


def switches() -> Switches:
    return {
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "raises": not torch.is_deterministic_algorithms_warn_only_enabled(),
        "cudnn": torch.backends.cudnn.deterministic,
        "autotuned": torch.backends.cudnn.benchmark,
        "tf32": torch.get_float32_matmul_precision() == "high",
        "workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    }


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = switches()
    yield
    assert switches() == before, "what a run sets is put back"


def while_training(device: str, recipe: config.Train) -> Switches:
    backends = Backends(recipe)
    backends.begin(device)
    seen = switches()
    backends.on_validation_start(None, None)  # type: ignore[arg-type]
    measuring = switches()
    assert not measuring["tf32"]
    assert not measuring["autotuned"]
    backends.on_validation_end(None, None)  # type: ignore[arg-type]
    assert switches() == seen
    backends.end()
    return seen


def test_a_gpu_multiplies_in_tf32_and_tries_algorithms_where_shapes_stay(tiny: Configure) -> None:
    fast = while_training("cuda", tiny())
    assert (fast["tf32"], fast["autotuned"], fast["deterministic"], fast["cudnn"]) == (True, True, False, False)
    several_sizes = while_training("cuda", tiny(trainer=config.Trainer(multi_scale=0.5)))
    assert (several_sizes["tf32"], several_sizes["autotuned"]) == (True, False)
    for model in (config.FasterRCNNOptions(), config.RCNNOptions()):
        assert not while_training("cuda", tiny(model=model))["autotuned"], "each step samples another number of regions"


def test_a_deterministic_gpu_tries_nothing_and_refuses_what_has_no_such_form(tiny: Configure) -> None:
    seen = while_training("cuda", tiny(trainer=config.Trainer(deterministic=True)))
    assert (seen["deterministic"], seen["raises"], seen["cudnn"], seen["autotuned"]) == (True, True, True, False)
    assert seen["workspace"] == ":4096:8"


def test_threads_of_a_cpu_add_gradients_in_one_order(tiny: Configure) -> None:
    """Elsewhere 19 of 20 gradients of this kind differ in some bits from the first one."""
    assert while_training("cpu", tiny())["deterministic"]
    threads = torch.get_num_threads()
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(200, 64, generator=generator).requires_grad_()
    rows, weights = torch.randint(0, 200, (4000,), generator=generator), torch.randn(4000, 64, generator=generator)

    def gradient() -> Tensor:
        return torch.autograd.grad((values[rows] * weights).sum(), values)[0]

    backends = Backends(tiny())
    backends.begin("cpu")
    torch.set_num_threads(2)
    try:
        first = gradient()
        assert all(torch.equal(gradient(), first) for _ in range(10))
    finally:
        torch.set_num_threads(threads)
        backends.end()


def test_a_run_adds_in_one_order_and_an_operation_without_one_ends_it_in_one_line(
    tiny: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = SingleShot.losses
    seen: list[Switches] = []

    def put(self: SingleShot, images: Tensor, targets: list[object]) -> dict[str, Tensor]:
        seen.append(switches())
        torch.zeros(3).put_(torch.tensor([0]), torch.ones(1))
        return losses(self, images, targets)  # type: ignore[arg-type]

    monkeypatch.setattr(SingleShot, "losses", put)
    part = config.Trainer(epochs=1, accelerator="cpu", precision="fp32", progress=False, deterministic=True)
    with pytest.raises(UserError, match=r"^trainer\.deterministic=true: PyTorch has no such form of put_$"):
        train(tiny(trainer=part))
    assert seen[0]["deterministic"]
