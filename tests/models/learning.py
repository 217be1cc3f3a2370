"""Training as a run trains, without its folder, measured on the images that were trained on."""

from __future__ import annotations

import lightning as L
from lightning.pytorch.callbacks import Callback

from detector import config
from detector.data.module import DetectionData
from detector.evaluation.evaluate import evaluate
from detector.training.module import DetectionModule
from detector.training.optim import averages_itself
from detector.training.schedule_free import AveragedWeights, renew_statistics
from detector.training.trainer import lightning_precision, quieten


def trained(settings: config.Train, data: DetectionData, *callbacks: Callback) -> DetectionModule:
    """What `train` does with the network: the same module, optimizer, schedule, average; no files and no validation."""
    quieten()
    L.seed_everything(settings.seed, verbose=False)
    module = DetectionModule(settings, data.class_names, data.category_ids, data.val_index, data.batches_per_epoch)
    trainer = L.Trainer(
        accelerator="cpu",
        precision=lightning_precision(settings.trainer),
        max_epochs=settings.trainer.epochs,
        accumulate_grad_batches=settings.trainer.accumulate,
        callbacks=[*([AveragedWeights()] if averages_itself(settings) else []), *callbacks],
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
    return DetectionData(
        settings.data, settings.augment, settings.image_size, seed=settings.seed, epochs=settings.trainer.epochs
    )


def ap50_by_heart(settings: config.Train) -> float:
    """AP50 of a few images, as they are, after training on one batch of them, augmented or not, again and again."""
    data = data_of(settings)
    detector = trained(settings, data).measured
    data.val_index = data.train_index
    batches = list(data.val_dataloader())
    # a training this short ends before the running averages of batch norm have caught up with the weights
    renew_statistics(detector, [batch.images for batch in batches])
    results = []
    for batch in batches:
        for target, found in zip(batch.targets, detector.eval().detect(batch.images), strict=True):
            original = found.to_original(target.transform, target.original_size)
            results += original.to_coco(target.image_id, data.category_ids)
    ap50 = evaluate(data.train_index, results)["AP50"]
    assert isinstance(ap50, float)
    return ap50
