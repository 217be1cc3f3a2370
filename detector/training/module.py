"""The LightningModule: any `Detector`, trained on batches and measured as COCO measures it."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Self

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from detector import config
from detector.build_detector import options_of_detector
from detector.checkpoint import KEY, entry, in_this_format
from detector.data.module import DetectionData
from detector.errors import UserError, options_of
from detector.evaluation.results import FlatResults
from detector.inference.precision import ComputingIn, dtype_of
from detector.models.detector import detect_batch
from detector.optimizers import AdamWOptions, OptimizerOptions
from detector.targets import ImageId, Targets
from detector.training.adversarial import SelfAdversary
from detector.training.ema import AveragedDetector
from detector.training.finite import WatchedLosses, infinite_weights
from detector.training.history import History
from detector.training.measuring import Findings, measure_together
from detector.types import Batch


class DetectionModule(L.LightningModule):
    """A detector, its averaged copy, and what a training has reached so far; for any `lightning.Trainer`.

        data = DetectionData(train_index, val_index, image_size=320)
        lightning.Trainer(max_epochs=10).fit(DetectionModule(detector), datamodule=data)

    How long, on what, in which precision and with how many batches a step is for the trainer to say, and so is the largest
    norm of the gradient where it says one. Several devices need `Trainer(use_distributed_sampler=False)`, as the data share
    the images out themselves.

    Args:
        detector: a `detector.models.detector.Detector` that is an `nn.Module`; it is trained in place.
        optim: optimizer and schedule; by default AdamW with a cosine.
        ema: largest decay of the averaged weights, 0..1, which are measured and saved beside the others; 0: none.
        scale_lr: whether `optim.lr`, which is for steps of `optim.lr_batch` images, is adapted to the images of a step; needs
            a datamodule of the class `DetectionData`.
        clip: largest norm of the gradient, unless the trainer has a `gradient_clip_val`; 0 does not clip.
        multi_scale: batches are resized to a multiple of 32 in (1 ± multi_scale) · side, 0..1.
        adversarial: share of the steps that train on images changed against the detector, 0..1.
        adversarial_strength: how far such a change moves every pixel, of 0..255.
        frozen_epochs: the first epochs, with the whole backbone frozen; for detectors of this project.
        channels_last: memory format of images and weights.
        compile: off, network (the detector's `forward` is compiled) or step (all of its losses, where it can).
        cuda_graphs: whether what is compiled is recorded as CUDA graphs.
        validation_precision: auto | fp32 | bf16 | fp16, of the network that finds objects in the validation images; see
            `detector.inference.precision.dtype_of`.
        seed: start of the random choices of multi_scale and adversarial.
        run: the configuration of the run, for its checkpoints.
        training_images: what tells the training images from others, for its checkpoints.

    Raises:
        UserError: a value is out of its range, or there is no backbone to freeze.
    """

    def __init__(
        self,
        detector: nn.Module,
        optim: OptimizerOptions | None = None,
        *,
        ema: float = config.Trainer.ema,
        scale_lr: bool = config.Trainer.scale_lr,
        clip: float = config.Trainer.clip,
        multi_scale: float = config.Trainer.multi_scale,
        adversarial: float = config.Trainer.adversarial,
        adversarial_strength: float = config.Trainer.adversarial_strength,
        frozen_epochs: int = config.Trainer.frozen_epochs,
        channels_last: bool = config.Trainer.channels_last,
        compile: str = config.Trainer.compile,  # noqa: A002  # the word of the configuration
        cuda_graphs: bool = config.Trainer.cuda_graphs,
        validation_precision: str = config.Trainer.validation_precision,
        seed: int = config.Train.seed,
        run: config.Train | None = None,
        training_images: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.optim = AdamWOptions() if optim is None else optim
        self.clip, self.multi_scale = clip, multi_scale
        self.frozen_epochs, self.channels_last = frozen_epochs, channels_last
        self.validation_precision = validation_precision
        self.scale_lr, self.seed, self.run, self.training_images = scale_lr, seed, run, training_images
        self.detector: Any = detector
        self.options = options_of_detector(detector)
        if frozen_epochs and (self.options is None or self.options.backbone is None):
            raise UserError(f"trainer.frozen_epochs: {self._name()} has no backbone that could be frozen")
        if channels_last:
            self.detector = self.detector.to(memory_format=torch.channels_last)
        self.ema = AveragedDetector(self.detector, ema) if ema and not self.optim.averages_itself else None
        self.compiled, self.cuda_graphs = compile != "off", cuda_graphs
        if self.compiled:
            self._compile(compile == "step", "reduce-overhead" if cuda_graphs else None)
        self.adversary = SelfAdversary(adversarial, adversarial_strength, seed)
        self.metrics: dict[str, Any] = {}
        """Metrics of the last evaluation."""
        self.best: dict[str, Any] = {}
        """Metrics of the evaluation with the best AP."""
        self.best_results: FlatResults | None = None
        """What the last evaluation has found, on the first process, if that is the best one."""
        self.history = History()
        """What the evaluations of the run so far measured."""
        self._findings = Findings()
        self._validating: ComputingIn | None = None
        self._watched: WatchedLosses | None = None

    def _name(self) -> str:
        return type(self.detector).__name__ if self.options is None else f"model={self.options.model.name}"

    def _compile(self, step: bool, mode: str | None) -> None:
        """Compiles what is trained and what is measured; neither is translated again during a training."""
        if not step:
            self.detector.compile(mode=mode)
        elif hasattr(self.detector, "compile_losses"):
            self.detector.compile_losses(mode=mode)
        else:
            raise UserError(f"trainer.compile=step: {self._name()} compiles its network alone: trainer.compile=network")
        if self.ema is not None:
            self.ema.module.compile(mode=mode)
        elif step:
            self.detector.compile(mode=mode)

    @classmethod
    def of_run(cls, settings: config.Train, detector: nn.Module, training_images: dict[str, Any] | None = None) -> Self:
        """The module that trains `detector` as a configuration says."""
        part = settings.trainer
        return cls(
            detector,
            settings.optim,
            ema=part.ema,
            scale_lr=part.scale_lr,
            clip=part.clip,
            multi_scale=part.multi_scale,
            adversarial=part.adversarial,
            adversarial_strength=part.adversarial_strength,
            frozen_epochs=part.frozen_epochs,
            channels_last=part.channels_last,
            compile=part.compile,
            cuda_graphs=part.cuda_graphs,
            validation_precision=part.validation_precision,
            seed=settings.seed,
            run=settings,
            training_images=training_images,
        )

    @property
    def data(self) -> DetectionData:
        """The data that it is trained and measured on.

        Raises:
            UserError: the trainer was given loaders, which know neither classes nor annotations.
        """
        if not isinstance(data := getattr(self.trainer, "datamodule", None), DetectionData):
            raise UserError("measuring and saving need the annotations: give the trainer datamodule=DetectionData(...)")
        return data

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of label 0, 1, ..."""
        return self.data.class_names

    # ------------------------------------------------------------------------------------------------------- training
    def configure_callbacks(self) -> list[Callback]:
        """What must stand between training and evaluation, unless the trainer has it already: batch-norm statistics that fit
        the weights that are measured."""
        from detector.training.batch_norm import EarlyStatistics
        from detector.training.schedule_free import AveragedWeights  # both know this module

        if any(isinstance(one, EarlyStatistics | AveragedWeights) for one in self.trainer.callbacks):  # type: ignore[attr-defined]
            return []
        return [AveragedWeights() if self.optim.averages_itself else EarlyStatistics()]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimizer and a schedule that moves with every step."""
        self.optim = self.optim_of_run()
        total, epochs = self._total_steps(), max(self.trainer.max_epochs or 1, 1)
        warmup = round(total * min(self.optim.warmup_epochs / epochs, 1.0))
        with options_of("optim"):
            optimizer = self.optim.build(self.detector, str(self.trainer.precision) != "16-mixed", warmup)
            schedule = self.optim.build_schedule(optimizer, total, warmup)
        if schedule is None:
            return {"optimizer": optimizer}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @property
    def images_a_step(self) -> int:
        """The images of a step of the optimizer, on all devices and in all batches that it accumulates."""
        return self.data.loading.batch_size * self.trainer.accumulate_grad_batches * self.trainer.world_size

    def optim_of_run(self) -> OptimizerOptions:
        """The optimizer, its rate adapted to the images of a step where that is asked for; the run's configuration stays."""
        return self.optim.for_batch(self.images_a_step) if self.scale_lr else self.optim

    def _total_steps(self) -> int:
        """The length of the schedule.

        Of `DetectionData` it is counted here: Lightning's own estimate would start the loader processes, which after a resume
        is too early, as it does not know the epoch yet.
        """
        trainer, data = self.trainer, getattr(self.trainer, "datamodule", None)
        if isinstance(data, DetectionData) and (epochs := trainer.max_epochs or 0) > 0:
            batches = data.batches_per_epoch(trainer.world_size)
            return epochs * math.ceil(batches / trainer.accumulate_grad_batches)
        return int(trainer.estimated_stepping_batches)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """By norm. Lightning's own way refuses every fused optimizer in mixed precision, also where nothing is scaled."""
        if gradient_clip_algorithm == "value":
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        clip = self.clip if gradient_clip_val is None else gradient_clip_val
        if clip:
            torch.nn.utils.clip_grad_norm_(self.detector.parameters(), clip, foreach=True)

    def on_train_epoch_start(self) -> None:
        """The whole backbone is frozen during the first `frozen_epochs`."""
        if self.optim.averages_itself:
            self.optimizers(use_pl_optimizer=False).train()  # type: ignore[union-attr]
        if self.frozen_epochs:
            assert self.options is not None
            backbone, part = self.detector.backbone, self.options.backbone
            assert part is not None
            if self.current_epoch < self.frozen_epochs:
                backbone.freeze(len(backbone.stages))
            else:
                backbone.freeze(part.frozen_stages, part.freeze_norm)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """In a handful of copies that nobody waits for."""
        moved = batch.to(device, non_blocking=device.type == "cuda")
        if self.compiled:
            torch._dynamo.maybe_mark_dynamic(moved.images, 0)  # the last batch may be a smaller one
        return moved

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The sum of the detector's losses."""
        if batch_index % self.trainer.accumulate_grad_batches == 0:  # until a step is over its gradients must stay
            self._begin_step()
        images, targets = self._rescaled(batch)
        if self.adversary.attacks(self.global_step):
            images = self.adversary.attacked(self.detector, images, targets)
        losses = self.detector.losses(images, targets)
        total = torch.stack(list(losses.values())).sum()
        self._watch(losses, targets.image_ids)
        # not for Lightning's bar, for which each would be read, and waited for, at every step
        self.log("train/loss", total.detach(), batch_size=len(targets))
        self.log_dict({f"train/{k}": v.detach() for k, v in losses.items()}, batch_size=len(targets))
        return total

    def _begin_step(self) -> None:
        """Graphs that are recorded from now on may write over what those of the step before have left."""
        if self.cuda_graphs:
            torch.compiler.cudagraph_mark_step_begin()

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_index: int) -> None:
        """The average follows once a step, not once a batch."""
        if self.ema is not None and self._stepped(batch_index):
            self.ema.update(self.detector)

    def _stepped(self, batch_index: int) -> bool:
        return (batch_index + 1) % self.trainer.accumulate_grad_batches == 0 or self.trainer.is_last_batch

    def _rescaled(self, batch: Batch) -> tuple[Tensor, Targets]:
        """The images, contiguous as the network wants them, and in multi-scale training at another size each step."""
        images, targets = batch.images, Targets.of(batch.targets, batch.images.device)
        spread = self.multi_scale
        if spread:
            side = images.shape[-1]
            # a generator of its own: the same sizes after a resume, and on every rank
            random = np.random.default_rng((self.seed, self.global_step, 0x5CA1E))
            new_side = max(32, round(side * random.uniform(1 - spread, 1 + spread) / 32) * 32)
            if new_side != side:
                images = F.interpolate(images.float(), (new_side, new_side), mode="bilinear", antialias=True)
                targets = targets.scaled(new_side / side)
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        if self.compiled:
            for dimension in (0, 2, 3) if spread else (0,):
                torch._dynamo.maybe_mark_dynamic(images, dimension)
        return images, targets

    def _watch(self, losses: dict[str, Tensor], image_ids: list[ImageId]) -> None:
        """Looks at the losses one step late on a GPU, where looking at once would make the host wait for each step."""
        now = WatchedLosses(
            self.current_epoch + 1,
            self.global_step + 1,
            list(losses),
            torch.stack([loss.detach() for loss in losses.values()]).to("cpu", non_blocking=True),
            image_ids,
            torch.cuda.Event() if self.device.type == "cuda" else None,
        )
        if now.copied is not None:
            now.copied.record()
            now, self._watched = self._watched, now  # type: ignore[assignment]
        if now is None:
            return
        if wrong := now.wrong():
            raise UserError(f"{wrong}; {self._how_to_stay_finite()}")
        self.history.add_step(now.epoch, now.names, now.values)

    # ----------------------------------------------------------------------------------------------------- evaluation
    @property
    def measured(self) -> Any:
        """The detector that is measured and drawn: the averaged one where there is one."""
        return self.detector if self.ema is None else self.ema.module

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Detections of the averaged weights, in original pixels."""
        if self.global_rank >= len(self.data.val_index):  # the image is another process's
            return
        self._begin_step()
        if self._validating is None:
            dtype = dtype_of(self.validation_precision, self.device)
            self._validating = ComputingIn(self.measured, dtype, self.device)
        with self._validating:
            detections = detect_batch(self.measured, batch)
        for target, found in zip(batch.targets, detections, strict=True):
            self._findings.add(target.image_id, found.cpu().to_original(target.transform, target.original_size))

    def on_validation_epoch_end(self) -> None:
        """Measures all detections of all processes, once."""
        findings, self._findings = self._findings, Findings()
        if self.trainer.sanity_checking:
            return
        engine = config.Evaluation.engine if self.run is None else self.run.evaluation.engine
        index = self.data.val_index
        self.metrics, results = measure_together(
            index, findings.flat(index), engine, self.global_rank, self.trainer.world_size
        )
        self.best_results = None
        if not self.best or (self.metrics["AP"] or 0.0) > (self.best["AP"] or 0.0):
            self.best_results = results
            self.best = {**self.metrics, "epoch": self.current_epoch + 1}
        if self.trainer.state.fn == "fit":
            rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
            self.history.add_evaluation(self.current_epoch + 1, self.global_step, rate, self.metrics)
        # equal on every rank: the first one has sent them
        self.log_dict({f"val/{k}": v for k, v in self.metrics.items() if isinstance(v, float)}, rank_zero_only=False)

    # ----------------------------------------------------------------------------------------------------- checkpoint
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the configuration, the classes, what was reached and the random state.

        Raises:
            UserError: a weight is not finite; such a checkpoint would replace a good one.
        """
        self._refuse_infinite(checkpoint["state_dict"])
        checkpoint[KEY] = entry(
            self.options,
            self.class_names,
            self.data.category_ids,
            self.run,
            training_images=self.training_images,
            best=self.best,
            history=self.history.rows,
            random_state=torch.get_rng_state(),
            cuda_random_state=torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        )

    def _refuse_infinite(self, state: dict[str, Tensor]) -> None:
        if wrong := infinite_weights(state):
            place = f"epoch {self.current_epoch + 1}, step {self.global_step}"
            raise UserError(f"{place}: {wrong}; {self._how_to_stay_finite()}")

    def _how_to_stay_finite(self) -> str:
        """What to change, and what is left of the run."""
        lower = [f"a lower optim.lr (it is {self.optim.lr:g})"]
        if not self.clip:
            lower.append("trainer.clip=10")
        if str(self.trainer.precision) != "32-true":
            lower.append("trainer.precision=fp32")
        kept = ""
        if (callback := self.trainer.checkpoint_callback) is not None and getattr(callback, "dirpath", None):
            folder = Path(os.path.relpath(callback.dirpath))  # type: ignore[attr-defined]
            there = "last.ckpt is from before" if (folder / "last.ckpt").is_file() else "no checkpoint was written yet"
            kept = f"; run folder {folder}: {there}"
        return f"{' or '.join(lower)} may help{kept}"

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes up what the run had reached, and its random numbers."""
        ours = in_this_format(checkpoint[KEY])["run"]
        self.best = ours["best"]
        self.history.rows = list(ours.get("history", []))  # earlier versions kept none
        torch.set_rng_state(ours["random_state"])
        if ours["cuda_random_state"] and len(ours["cuda_random_state"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(ours["cuda_random_state"])
