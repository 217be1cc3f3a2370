"""Schemas of `configs/optim`, `configs/trainer`, `configs/logger` and `configs/callbacks`."""

from __future__ import annotations

from dataclasses import dataclass, field

from detector.config.missing import MISSING


@dataclass
class Optim:
    """Optimizer and learning-rate schedule. Norms and biases have no weight decay."""

    name: str = MISSING
    lr: float = 0.01
    weight_decay: float = 5e-4
    momentum: float = 0.9
    """SGD's (Nesterov) momentum, AdamW's first beta."""
    warmup_epochs: float = 3.0
    """Linear warm-up from 0; one_cycle has its `rise` instead."""
    schedule: str = "cosine"
    """cosine | steps | one_cycle | constant"""
    final_lr: float = 0.01
    """Cosine's end, as a share of lr."""
    steps: list[float] = field(default_factory=lambda: [0.67, 0.89])
    """Where `steps` divides lr by 10, as shares of the training."""
    rise: float = 0.3
    """Share of the training in which `one_cycle` climbs from lr / 25 to lr, before it falls to lr / 250,000."""
    lowest_momentum: float = 0.85
    """What `one_cycle` takes momentum down to while lr climbs, and back from while it falls."""


@dataclass
class SGD(Optim):
    """Stochastic gradient descent with Nesterov's momentum."""

    name: str = "sgd"


@dataclass
class AdamW(Optim):
    """Loshchilov & Hutter 2019."""

    name: str = "adamw"
    lr: float = 4e-3
    weight_decay: float = 0.05


@dataclass
class ScheduleFree(Optim):
    """AdamW whose averaged iterates take the place of a schedule (Defazio et al. 2024)."""

    name: str = "schedule_free"
    lr: float = 2.5e-3
    """Larger than AdamW's: the paper's best are 1 to 10 times as large."""
    weight_decay: float = 0.05
    schedule: str = "constant"
    """constant; there is no other, which is the point."""


@dataclass
class Trainer:
    """How long, on what, and how exactly."""

    epochs: int = 100
    accelerator: str = "auto"
    devices: int = 1
    """GPUs (or CPU processes) of a node; −1 takes all."""
    nodes: int = 1
    strategy: str = "auto"
    """Lightning's: auto | ddp | ..."""
    precision: str = "auto"
    """bf16 | fp16 | fp32 of training (evaluation is always fp32); auto is bf16 where the hardware multiplies in it."""
    channels_last: bool = True
    compile: bool = False
    """torch.compile of the network; needs a C++ compiler on a CPU."""
    accumulate: int = 1
    """Batches a step."""
    clip: float = 10.0
    """Largest norm of the gradient; 0 does not clip."""
    ema: float = 0.9998
    """Largest decay of the averaged weights; at step n it is min(ema, n / (n + 9)). 0: no averaging."""
    frozen_epochs: int = 0
    """The first epochs, with the whole backbone frozen; afterwards it is trained as well."""
    multi_scale: float = 0.0
    """Batches are resized to a multiple of 32 in (1 ± multi_scale) · image_size."""
    adversarial: float = 0.0
    """Share of the steps that train on images changed against the network (self-adversarial training, YOLOv4)."""
    adversarial_strength: float = 4.0
    """How far such a change moves every pixel, of 0..255."""
    evaluate_every: int = 1
    """Epochs between two evaluations; the last epoch is always evaluated."""
    patience: int = 0
    """Stop after so many evaluations without a better AP; 0 never stops early."""
    progress: bool = True


@dataclass
class Logger:
    """Besides the CSV file that every run has."""

    name: str = MISSING
    tensorboard: bool = True


@dataclass
class Callbacks:
    """What watches a run besides."""

    name: str = "none"
    health_every: int = 0
    """Steps between two measurements of every layer's health (`health.csv`, `health.png`); 0 measures none."""
