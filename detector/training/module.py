"""The LightningModule: any `Detector`, trained on batches and measured as COCO measures it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from detector import config
from detector.checkpoint import KEY, build, entry
from detector.data.index import Index
from detector.errors import UserError, options_of
from detector.evaluation.evaluate import evaluate
from detector.models.detector import detect_batch
from detector.training.adversarial import SelfAdversary
from detector.training.ema import AveragedDetector
from detector.training.init import start_from
from detector.types import Batch, ImageId, Target


class DetectionModule(L.LightningModule):
    """A detector, its averaged copy, and what a run has reached so far."""

    def __init__(
        self,
        train: config.Train,
        class_names: tuple[str, ...],
        category_ids: tuple[ImageId, ...],
        val_index: Index,
        batches_per_epoch: Callable[[int], int],
        pretrained: bool = True,
        training_images: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.batches_per_epoch = batches_per_epoch
        self.config = train
        self.class_names = class_names
        self.category_ids = category_ids
        self.val_index = val_index
        self.detector: Any = build(train, len(class_names), pretrained)
        self.taken_over: list[str] = []
        """Lines that say what was taken over of the checkpoint `init`, if there is one."""
        if train.init is not None and pretrained:
            self.taken_over = start_from(self.detector, train, class_names)
        self.training_images = training_images
        if train.trainer.channels_last:
            self.detector = self.detector.to(memory_format=torch.channels_last)
        if train.trainer.frozen_epochs and train.backbone is None:
            raise UserError(f"trainer.frozen_epochs: model={train.model.name} has no backbone that could be frozen")
        self.ema = None
        if train.trainer.ema and not train.optim.averages_itself:
            self.ema = AveragedDetector(self.detector, train.trainer.ema)
        if train.trainer.compile:
            self.detector.compile()
        part = train.trainer
        self.adversary = SelfAdversary(part.adversarial, part.adversarial_strength, train.seed)
        self.metrics: dict[str, Any] = {}
        """Metrics of the last evaluation."""
        self.best: dict[str, Any] = {}
        """Metrics of the evaluation with the best AP."""
        self.best_results: list[dict[str, Any]] | None = None
        """COCO result entries of the last evaluation, if that is the best one."""
        self._results: list[dict[str, Any]] = []
        self._watched: _WatchedLosses | None = None

    # ------------------------------------------------------------------------------------------------------- training
    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimizer and a schedule that moves with every step.

        Its length is counted here: Lightning's own estimate would start the loader processes, which after a resume is too
        early, as it does not know the epoch yet.
        """
        part = self.config.trainer
        total = part.epochs * math.ceil(self.batches_per_epoch(self.trainer.world_size) / part.accumulate)
        warmup = round(total * min(self.config.optim.warmup_epochs / self.config.trainer.epochs, 1.0))
        with options_of("optim"):
            optimizer = self.config.optim.build(self.detector, part.precision != "fp16", warmup)
            schedule = self.config.optim.build_schedule(optimizer, total, warmup)
        if schedule is None:
            return {"optimizer": optimizer}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """By norm. Lightning's own way refuses every fused optimizer in mixed precision, also where nothing is scaled."""
        if self.config.trainer.clip:
            torch.nn.utils.clip_grad_norm_(self.detector.parameters(), self.config.trainer.clip, foreach=True)

    def on_train_epoch_start(self) -> None:
        """The whole backbone is frozen during the first `trainer.frozen_epochs`."""
        if self.config.optim.averages_itself:
            self.optimizers(use_pl_optimizer=False).train()  # type: ignore[union-attr]
        if self.config.trainer.frozen_epochs:
            backbone, part = self.detector.backbone, self.config.backbone
            assert part is not None
            if self.current_epoch < self.config.trainer.frozen_epochs:
                backbone.freeze(len(backbone.stages))
            else:
                backbone.freeze(part.frozen_stages, part.freeze_norm)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The sum of the detector's losses."""
        images, targets = self._rescaled(batch)
        if self.adversary.attacks(self.global_step):
            images = self.adversary.attacked(self.detector, images, targets)
        losses = self.detector.losses(images, targets)
        total = torch.stack(list(losses.values())).sum()
        self._watch(losses, batch.targets)
        self.log("train/loss", total.detach(), prog_bar=True, batch_size=len(targets))
        self.log_dict({f"train/{k}": v.detach() for k, v in losses.items()}, prog_bar=True, batch_size=len(targets))
        return total

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_index: int) -> None:
        """The average follows once a step, not once a batch."""
        if self.ema is not None and self._stepped(batch_index):
            self.ema.update(self.detector)

    def _stepped(self, batch_index: int) -> bool:
        accumulate = self.config.trainer.accumulate
        return (batch_index + 1) % accumulate == 0 or self.trainer.is_last_batch

    def _rescaled(self, batch: Batch) -> tuple[Tensor, list[Target]]:
        """The images, contiguous as the network wants them, and in multi-scale training at another size each step."""
        images, targets = batch.images, batch.targets
        spread = self.config.trainer.multi_scale
        if spread:
            side = images.shape[-1]
            # a generator of its own: the same sizes after a resume, and on every rank
            random = np.random.default_rng((self.config.seed, self.global_step, 0x5CA1E))
            new_side = max(32, round(side * random.uniform(1 - spread, 1 + spread) / 32) * 32)
            if new_side != side:
                images = F.interpolate(images.float(), (new_side, new_side), mode="bilinear", antialias=True)
                targets = [target.scaled(new_side / side) for target in targets]
        if self.config.trainer.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return images, targets

    def _watch(self, losses: dict[str, Tensor], targets: list[Target]) -> None:
        """Looks at the losses one step late on a GPU, where looking at once would make the host wait for each step."""
        now = _WatchedLosses(
            self.current_epoch + 1,
            self.global_step + 1,
            list(losses),
            torch.stack([loss.detach() for loss in losses.values()]).to("cpu", non_blocking=True),
            [target.image_id for target in targets],
            torch.cuda.Event() if self.device.type == "cuda" else None,
        )
        if now.copied is not None:
            now.copied.record()
            now, self._watched = self._watched, now  # type: ignore[assignment]
        if now is not None and (wrong := now.wrong()):
            raise UserError(f"{wrong}; {self._how_to_stay_finite()}")

    # ----------------------------------------------------------------------------------------------------- evaluation
    @property
    def measured(self) -> Any:
        """The detector that is measured and drawn: the averaged one where there is one."""
        return self.detector if self.ema is None else self.ema.module

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Detections of the averaged weights, in original pixels."""
        if self.global_rank >= len(self.val_index):  # the image is another process's
            return
        for target, found in zip(batch.targets, detect_batch(self.measured, batch), strict=True):
            original = found.cpu().to_original(target.transform, target.original_size)
            self._results += original.to_coco(target.image_id, self.val_index.category_ids)

    def on_validation_epoch_end(self) -> None:
        """Measures all detections of all processes."""
        results, self._results = self._results, []
        if self.trainer.world_size > 1:
            gathered: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(gathered, results)
            results = [result for part in gathered for result in part]
        if self.trainer.sanity_checking:
            return
        self.metrics = evaluate(self.val_index, results)
        self.best_results = None
        if not self.best or (self.metrics["AP"] or 0.0) > (self.best["AP"] or 0.0):
            self.best_results = results
            self.best = {**self.metrics, "epoch": self.current_epoch + 1}
        # equal on every rank: each has measured everything
        scalars = {f"val/{k}": float(v) for k, v in self.metrics.items() if isinstance(v, float)}
        self.log_dict(scalars, rank_zero_only=False)

    # ----------------------------------------------------------------------------------------------------- checkpoint
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the configuration, the classes, what was reached and the random state.

        Raises:
            UserError: a weight is not finite; such a checkpoint would replace a good one.
        """
        self._refuse_infinite(checkpoint["state_dict"])
        checkpoint[KEY] = {
            **entry(self.config, self.class_names, self.category_ids),
            "training_images": self.training_images,
            "best": self.best,
            "random_state": torch.get_rng_state(),
            "cuda_random_state": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def _refuse_infinite(self, state: dict[str, Tensor]) -> None:
        floats = {name: value for name, value in state.items() if value.is_floating_point() and value.numel()}
        if not floats:
            return
        finite = torch.stack([value.isfinite().all() for value in floats.values()]).tolist()
        if not all(finite):
            name = list(floats)[finite.index(False)]
            raise UserError(
                f"epoch {self.current_epoch + 1}, step {self.global_step}: {finite.count(False)} weights are no longer finite "
                f"(first: {name}); {self._how_to_stay_finite()}"
            )

    def _how_to_stay_finite(self) -> str:
        """What to change, and what is left of the run."""
        part = self.config.trainer
        lower = [f"a lower optim.lr (it is {self.config.optim.lr:g})"]
        if not part.clip:
            lower.append("trainer.clip=10")
        if part.precision != "fp32":
            lower.append("trainer.precision=fp32")
        kept = ""
        if (callback := self.trainer.checkpoint_callback) is not None and getattr(callback, "dirpath", None):
            folder = Path(os.path.relpath(callback.dirpath))  # type: ignore[attr-defined]
            there = "last.ckpt is from before" if (folder / "last.ckpt").is_file() else "no checkpoint was written yet"
            kept = f"; run folder {folder}: {there}"
        return f"{' or '.join(lower)} may help{kept}"

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes up what the run had reached, and its random numbers."""
        ours = checkpoint[KEY]
        self.best = ours["best"]
        torch.set_rng_state(ours["random_state"])
        if ours["cuda_random_state"] and len(ours["cuda_random_state"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(ours["cuda_random_state"])


@dataclass
class _WatchedLosses:
    epoch: int
    step: int
    """Both are counted from 1."""
    names: list[str]
    values: Tensor
    image_ids: list[ImageId]
    copied: torch.cuda.Event | None

    def wrong(self) -> str | None:
        """The first loss that is not finite, if one is, with the images that it comes from."""
        if self.copied is not None:
            self.copied.synchronize()
        for name, value in zip(self.names, self.values.tolist(), strict=True):
            if not np.isfinite(value):
                images = ", ".join(map(str, self.image_ids))
                return (
                    f"epoch {self.epoch}, step {self.step}: the {name} loss is {value}; images of the batch: {images}"
                )
        return None
