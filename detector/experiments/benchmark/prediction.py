"""Prediction as `scripts/predict.py` does it: network, decoding, suppression, boxes in original pixels on the host."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L

from detector import config
from detector.build_detector import DetectorOptions
from detector.checkpoint import Checkpoint, build
from detector.data.module import DetectionData
from detector.experiments.benchmark.clock import Clock, device_wait, figure, images_per_second
from detector.experiments.benchmark.memory import PeakMemory
from detector.experiments.benchmark.training import as_train
from detector.inference.precision import precision_of
from detector.inference.predictor import Predictor
from detector.resolve import resize_of
from detector.types import Batch


def measure_prediction(settings: config.Benchmark) -> dict[str, Any]:
    """Validation images as the model sees them, one at a time and `data.batch_size` at a time, from host memory and back.

    The weights are new ones: every score is near the head's prior probability, so that by default each image brings
    `model.candidates` boxes to suppression, more than after training.
    """
    peak = PeakMemory()
    L.seed_everything(settings.seed, verbose=False)
    data = DetectionData.read(
        replace(settings.data, workers=0, cache="none"),
        settings.augment,
        settings.image_size,
        resize=resize_of(settings.model),
    )
    recipe = as_train(settings)
    weights = build(recipe, len(data.class_names), pretrained=False).state_dict()
    untrained = Checkpoint(
        Path("untrained"), DetectorOptions.of(recipe), data.class_names, data.category_ids, 0, weights, recipe
    )
    predictor = Predictor(untrained, accelerator=settings.trainer.accelerator, precision=settings.precision)
    batch = next(iter(data.val_dataloader()))
    sizes = sorted({1, settings.data.batch_size})
    return {
        **{f"batch_{size}": _measure(settings, predictor, _of_size(batch, size)) for size in sizes},
        "precision": precision_of(predictor.dtype),
        "peak_memory": peak.report(),
    }


def _measure(settings: config.Benchmark, predictor: Predictor, batch: Batch) -> dict[str, Any]:
    clock = Clock(settings, device_wait(predictor.device))
    clock.start()
    while not clock.finished:
        predictor.detect(batch)
        clock.step(len(batch.targets))
    return {
        "images_per_second": images_per_second(clock),
        "time_an_image": figure([1000 / rate for rate in clock.rates], "ms"),
    }


def _of_size(batch: Batch, size: int) -> Batch:
    """The first `size` images, from the first one again where there are fewer."""
    chosen = [i % len(batch.targets) for i in range(size)]
    return Batch(batch.images[chosen], [batch.targets[i] for i in chosen])
