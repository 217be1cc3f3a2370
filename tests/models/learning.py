"""Training as a run trains, without its folder, measured on the images that were trained on."""

from __future__ import annotations

from copy import deepcopy
from functools import cached_property
from typing import cast

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader, Dataset

from detector import config
from detector.checkpoint import build
from detector.data.index import AnnotatedObjects, Index, assemble
from detector.data.module import DetectionData
from detector.evaluation.evaluate import evaluate
from detector.models.detector import detect_batch
from detector.training.module import DetectionModule
from detector.training.schedule_free import AveragedWeights
from detector.training.trainer import lightning_precision, quieten
from detector.types import Batch


def trained(settings: config.Train, data: DetectionData, *callbacks: Callback) -> DetectionModule:
    """What `train` does with the network: the same module, optimizer, schedule, average; no files and no validation."""
    quieten()
    L.seed_everything(settings.seed, verbose=False)
    module = DetectionModule.of_run(settings, build(settings, len(data.class_names)))
    trainer = L.Trainer(
        accelerator="cpu",
        precision=lightning_precision(settings.trainer),
        max_epochs=settings.trainer.epochs,
        accumulate_grad_batches=settings.trainer.accumulate,
        callbacks=[*([AveragedWeights()] if settings.optim.averages_itself else []), *callbacks],
        logger=False,
        enable_checkpointing=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )
    trainer.fit(module, datamodule=data)
    return module


def data_of(settings: config.Train) -> DetectionData:
    return DetectionData.read(
        settings.data,
        settings.augment,
        settings.image_size,
        seed=settings.seed,
        epochs=settings.trainer.epochs,
        proposals=settings.model.proposal_request(),
    )


class OneBatch(DetectionData):
    """The first training batch, as it was drawn, in every epoch."""

    @cached_property
    def batch(self) -> Batch:
        return next(iter(super().train_dataloader()))

    def train_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(cast(Dataset, [self.batch]), batch_size=None, collate_fn=deepcopy)


def ap50_when_overfit(settings: config.Train) -> float:
    """AP50 on one training batch, augmented as the settings say, after as many steps as there are epochs."""
    data = OneBatch.read(
        settings.data,
        settings.augment,
        settings.image_size,
        seed=settings.seed,
        epochs=settings.trainer.epochs,
        proposals=settings.model.proposal_request(),
    )
    detector = with_statistics_of_batches(trained(settings, data).measured)
    results = []
    for i, found in enumerate(detect_batch(detector, data.batch)):
        results += found.to_coco(i, data.category_ids)
    ap50 = evaluate(index_of(data.batch, data.train_index), results)["AP50"]
    assert isinstance(ap50, float)
    return ap50


def with_statistics_of_batches(detector: nn.Module) -> nn.Module:
    """In evaluation mode, but with batch norm as in training where it is not frozen.

    A training this short ends before the running averages have caught up with the weights. And could they, the running variance
    is unbiased: of two images that are 3 × 3 points at the highest level it is 18 / 17 of what training divides by, at every
    layer anew.
    """
    in_training = [one for one in detector.train().modules() if isinstance(one, nn.BatchNorm2d) and one.training]
    detector.eval()
    for one in in_training:
        one.train()
    return detector


def index_of(batch: Batch, like: Index) -> Index:
    """What a batch shows, as a split of its own: its images are the originals."""
    targets = batch.targets
    number, (height, width) = len(targets), batch.images.shape[-2:]
    objects = AnnotatedObjects(
        owners=np.repeat(np.arange(number), [len(target.boxes) for target in targets]),
        boxes=torch.cat([target.boxes for target in targets]).numpy(),
        labels=torch.cat([target.labels for target in targets]).numpy(),
        crowd=torch.cat([target.crowd for target in targets]).numpy(),
        where=lambda n: f"object {n} of the batch",
    )
    return assemble(
        like.class_names,
        like.category_ids,
        range(number),
        [""] * number,
        np.full((number, 2), (height, width)),
        objects,
    )
