"""Batch norms become part of the convolutions before them: the same function in one pass over memory instead of two.

In evaluation a batch norm is y = γ · (x − μ) / √(σ² + ε) + β with fixed numbers, and x = w ∗ v + b: so y = w′ ∗ v + b′ with
w′ = w · γ / √(σ² + ε) and b′ = β + (b − μ) · γ / √(σ² + ε), channel by channel.

Which convolution a norm follows is not read from the names or the order of modules, which say nothing certain: the network
runs once, and every operation on the output of a convolution is seen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SIDE = 128
"""Pixels of the image that the network is tried with: a multiple of the stride of every level up to P7."""

IN_PLACE = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.Mish, nn.Hardswish)
"""Activations that can overwrite what they are given."""


@torch.no_grad()
def fold_batch_norms(network: nn.Module) -> list[nn.Conv2d]:
    """Folds, in place, every batch norm that alone uses the output of a convolution; activations then work in place.

    Left as they are: norms in training mode, convolutions whose output, weights or module serve more than once, and layers that
    compute their weights anew each time.

    Args:
        network: in evaluation mode, on the CPU; whose `forward` takes images float 0..255 [1, 3, H, W].

    Returns:
        All convolutions that the network ran, folded or not.
    """
    run = _Run(network)
    for norm, convolution in run.foldable():
        _fold(convolution, norm)
        _replace(network, norm, _without_norm(norm))
    for activation in run.sole_readers():
        activation.inplace = True
    return run.convolutions()


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, variance = norm.running_mean.double(), norm.running_var.double()
    scale = (variance + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    bias = -mean if convolution.bias is None else convolution.bias.double() - mean
    bias = bias * scale
    if norm.bias is not None:
        bias = bias + norm.bias.double()
    weight = convolution.weight
    folded = (weight.double() * scale[:, None, None, None]).to(weight)
    convolution.weight = nn.Parameter(folded, requires_grad=False)
    convolution.bias = nn.Parameter(bias.to(weight), requires_grad=False)


def _without_norm(norm: nn.BatchNorm2d) -> nn.Module:
    """What is left of the module: of timm's batch norms that have a dropout and an activation of their own, these two."""
    return nn.Identity() if _is_plain(norm) else nn.Sequential(norm.drop, norm.act)  # type: ignore[arg-type]


def _is_plain(norm: nn.Module) -> bool:
    return type(norm) in (nn.BatchNorm2d, nn.SyncBatchNorm)


def _is_timms(norm: nn.Module) -> bool:
    return type(norm).__name__ == "BatchNormAct2d" and type(norm).__module__.startswith("timm.")


def _replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if child is old:
                setattr(parent, name, new)


class _Run(TorchDispatchMode):
    """What happened in one pass through a network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.kept: list[Any] = []  # so that no two tensors have the same id
        self.uses: Counter[int] = Counter()
        """How often the tensor with this id was an argument of an operation."""
        self.convolved: dict[int, int] = {}
        """Id of the output of a convolution → id of its weight."""
        self.made: set[int] = set()
        """Ids of the outputs of convolutions and batch norms, which nothing else holds."""
        self.normalised: list[tuple[int, int]] = []
        """Ids of the input and of the running mean of each batch norm that used fixed numbers."""
        self.passed: defaultdict[nn.Module, list[int]] = defaultdict(list)
        """Ids of what went into a module that can work in place, one a call."""
        self.calls: Counter[nn.Module] = Counter()
        self.modules = list(network.modules())
        hooks = [one.register_forward_pre_hook(self._called) for one in self.modules]
        try:
            with self:
                network(torch.zeros(1, 3, SIDE, SIDE))
        finally:
            for hook in hooks:
                hook.remove()

    def _called(self, module: nn.Module, given: tuple[Any, ...]) -> None:
        self.calls[module] += 1
        if type(module) in IN_PLACE:
            self.passed[module].append(id(given[0]))
            self.kept.append(given[0])

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called by torch for each operation."""
        result = func(*args, **(kwargs or {}))
        for one in tree_leaves((args, kwargs)):
            if isinstance(one, Tensor):
                self.uses[id(one)] += 1
                self.kept.append(one)
        self.kept.extend(tree_leaves(result))
        name = func.overloadpacket.__name__
        if name == "convolution":
            self.convolved[id(result)] = id(args[1])
            self.made.add(id(result))
        elif name == "native_batch_norm" and not args[5]:
            self.normalised.append((id(args[0]), id(args[3])))
            self.made.add(id(result[0]))
        return result

    def convolutions(self) -> list[nn.Conv2d]:
        return [one for one in self.modules if isinstance(one, nn.Conv2d) and self.calls[one]]

    def foldable(self) -> list[tuple[nn.BatchNorm2d, nn.Conv2d]]:
        """Norms that fold, each with its convolution."""
        convolutions = {id(one.weight): one for one in self.convolutions() if self._once(one, one.weight)}
        norms = {id(one.running_mean): one for one in self.modules if _is_plain(one) or _is_timms(one)}
        found = []
        for given, mean in self.normalised:
            convolution, norm = convolutions.get(self.convolved.get(given, 0)), norms.get(mean)
            if convolution is not None and norm is not None and self.uses[given] == 1 and self.uses[mean] == 1:
                found.append((norm, convolution))
        return found  # type: ignore[return-value]

    def _once(self, module: nn.Module, weight: Tensor) -> bool:
        return self.calls[module] == 1 and self.uses[id(weight)] == 1

    def sole_readers(self) -> list[Any]:
        """Activations, each called once, that alone use what a convolution or a batch norm has made."""
        return [
            module
            for module, given in self.passed.items()
            if self.calls[module] == 1 and given[0] in self.made and self.uses[given[0]] == 1
        ]
