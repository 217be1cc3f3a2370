"""Where in a training step one part ends and the next begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils._pytree import tree_leaves

PARTS = (
    "copy", "normalise", "network", "assigner", "loss", "backward", "clip", "optimizer", "averaging", "other",
)  # fmt: skip


class PartBorders(Callback):
    """Knows at each moment of a training to which of `PARTS` the work belongs.

    What `trainer.compile` melts into one piece has no borders inside: with network, `normalise` is a part of `network`; with
    step, these, `assigner` and `loss` are all `loss`.
    """

    def __init__(self) -> None:
        self._part = ["other"]

    def entered(self, part: str) -> None:
        """What follows belongs to this part."""

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What happens inside belongs to this part, except for what belongs to a part inside of it."""
        self._enter(name)
        try:
            yield
        finally:
            self._leave()

    def _enter(self, name: str) -> None:
        self._part.append(name)
        self.entered(name)

    def _leave(self) -> None:
        self._part.pop()
        self.entered(self._part[-1])

    def within(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, whose work belongs to this part."""

        def inside(*arguments: Any, **named: Any) -> Any:
            with self.part(name):
                return function(*arguments, **named)

        return inside

    def network_returned(self, outputs: list[Tensor]) -> None:
        """What the network has computed, where it is not compiled together with the losses."""

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws the borders."""
        module: Any = pl_module
        detector = module.detector
        for owner, method, name in (
            (module, "transfer_batch_to_device", "copy"),
            (detector, "losses", "loss"),
            (module, "backward", "backward"),
            (module, "configure_gradient_clipping", "clip"),
            (module, "optimizer_step", "optimizer"),
            (module, "training_step", "other"),
            (module.ema, "update", "averaging"),
        ):
            if owner is not None:
                object.__setattr__(owner, method, self.within(name, getattr(owner, method)))
        if not module.compiled:
            self._between_layers(detector)
        elif (compiled := detector._compiled_call_impl) is not None:
            detector._compiled_call_impl = self._network(compiled)

    def _between_layers(self, detector: Any) -> None:
        if (criterion := getattr(detector, "criterion", None)) is not None:
            criterion.assigner = _Assigner(self, criterion.assigner)
        for layer, name in ((detector, "network"), (getattr(detector, "normalise", None), "normalise")):
            if layer is not None:
                layer.register_forward_pre_hook(lambda *_, name=name: self._enter(name))
                layer.register_forward_hook(lambda *_: self._leave())
        detector.register_forward_hook(lambda _module, _seen, found: self.network_returned(tree_leaves(found)))

    def _network(self, compiled: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            with self.part("network"):
                found = compiled(*arguments, **named)
            self.network_returned(tree_leaves(found))
            return found

        return call


class _Assigner:
    """An assigner, all work of which belongs to the part `assigner`."""

    def __init__(self, borders: PartBorders, assigner: Any) -> None:
        self._borders, self._assigner = borders, assigner

    def __call__(self, *arguments: Any) -> Any:
        with self._borders.part("assigner"):
            return self._assigner(*arguments)

    def __getattr__(self, name: str) -> Any:
        return self._borders.within("assigner", getattr(self._assigner, name))
