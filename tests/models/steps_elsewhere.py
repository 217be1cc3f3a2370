"""A training step and a detection of each kind of detector on a device that is not there, as a line of JSON each.

python tests/models/steps_elsewhere.py OVERRIDES...     each a recipe: its words separated by spaces
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from composition import composed
from learning import data_of
from other_device import OtherDevice

from detector.checkpoint import build
from detector.models.detector import detect_batch
from detector.training.ema import AveragedDetector
from detector.types import Batch

SMALL = "data=shapes data.train_images=4 data.val_images=1 data.workers=0 data.batch_size=4 image_size=64 data.scene_size=64"


def step(recipe: str) -> dict[str, object]:
    """What each phase of a second step waits for, and whether losses, gradients and detections are those of the CPU.

    The second, as the first one finds out what is kept for all steps.
    """
    settings = composed(*SMALL.split(), *recipe.split())
    data = data_of(settings)
    batch: Batch = next(iter(data.train_dataloader()))
    torch.manual_seed(0)
    here: Any
    there: Any
    here, there = (build(settings, len(data.class_names)) for _ in range(2))
    there.load_state_dict(here.state_dict())
    with OtherDevice() as device:
        there.to(device.device)
        average = AveragedDetector(there, 0.99)
        optimizer: Any = settings.optim.build(there, fused=False)
        begin_training(settings, optimizer)
        found: dict[str, dict[str, object]] = {}

        def phase(name: str) -> None:
            found[name] = {"waits": device.waits, "copies": device.copies}
            device.reset()

        for _ in range(2):
            device.reset()
            optimizer.zero_grad()
            moved = batch.to(device.device, non_blocking=True)
            phase("copy")
            torch.manual_seed(1)
            losses = there.losses(moved.images, moved.targets)
            phase("losses")
            torch.stack(list(losses.values())).sum().backward()
            torch.nn.utils.clip_grad_norm_(there.parameters(), 10.0)
            optimizer.step()
            average.update(there)
            phase("update")
        average.module.load_state_dict(there.state_dict())
        detections = [one.cpu() for one in detect_batch(average.module, moved)]
        phase("detect")
        elsewhere = {name: loss.item() for name, loss in losses.items()}
        state = {name: tensor.cpu() for name, tensor in there.state_dict().items()}

    optimizer = settings.optim.build(here, fused=False)
    begin_training(settings, optimizer)
    for _ in range(2):
        optimizer.zero_grad()
        torch.manual_seed(1)
        losses = here.losses(batch.images, batch.targets)
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(here.parameters(), 10.0)
        optimizer.step()
    expected = detect_batch(here.eval(), batch)
    return {
        **found,
        "losses of both": [elsewhere, {name: loss.item() for name, loss in losses.items()}],
        "largest difference of a weight": max(
            float((state[name].double() - tensor.double()).abs().max()) for name, tensor in here.state_dict().items()
        ),
        "numbers of detections": [[len(one) for one in detections], [len(one) for one in expected]],
        "largest difference of a score": max(
            (
                float((one.scores - other.scores).abs().max())
                for one, other in zip(detections, expected, strict=True)
                if 0 < len(one) == len(other)
            ),
            default=0.0,
        ),
    }


def begin_training(settings: Any, optimizer: Any) -> None:
    """Schedule-free optimizers want to be told."""
    if settings.optim.averages_itself:
        optimizer.train()


if __name__ == "__main__":
    for words in sys.argv[1:]:
        print(json.dumps(step(words)), flush=True)
