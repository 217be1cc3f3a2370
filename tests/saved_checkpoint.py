"""Checkpoints of detectors that nobody trained, with weights random enough that scores spread from 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from detector import checkpoint, config
from detector.build_detector import DetectorOptions


def random_weights(train: config.Train, classes: int, seed: int) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    assert train.head is not None
    undecided = replace(train, head=replace(train.head, prior_probability=0.5))
    detector = checkpoint.build(undecided, classes)
    for name, parameter in detector.named_parameters():
        if name.startswith("head.") and parameter.ndim == 4:
            torch.nn.init.normal_(parameter, std=0.3)
    return detector.state_dict()


def save_checkpoint(
    path: Path, train: config.Train, class_names: Sequence[str], seed: int = 0, averaged: bool = True
) -> Path:
    """Weights of `seed`; with `averaged` also other ones, of `seed + 1`, as the average."""
    state = {f"detector.{k}": v for k, v in random_weights(train, len(class_names), seed).items()}
    if averaged:
        average = random_weights(train, len(class_names), seed + 1)
        state |= {f"ema.module.{k}": v for k, v in average.items()}
    ids = tuple(range(1, len(class_names) + 1))
    entry = checkpoint.entry(DetectorOptions.of(train), tuple(class_names), ids, train)
    torch.save({"state_dict": state, "epoch": 3, checkpoint.KEY: entry}, path)
    return path
