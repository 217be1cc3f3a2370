"""What a GPU alone can show: the numbers of a CPU, no waiting, one translation, a resumed run's bits. Skipped without one."""

from __future__ import annotations

import copy
import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from composition import composed
from processes import SMALL, Script

from detector.checkpoint import build
from detector.data.module import DetectionData
from detector.models.detector import detect_batch
from detector.training.ema import AveragedDetector
from detector.types import Batch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

RECIPES = {
    "task_aligned": "",
    "simota": "assigner=simota loss=giou loss.classification=focal model.suppression=soft",
    "anchors": "head=anchor_based assigner=max_iou loss=l1 optim=sgd",
    "anchors_simota": "head=anchor_based assigner=simota loss=l2 model.suppression=diou",
    "varifocal": "loss.classification=varifocal head.bins=0 model.suppression=class_agnostic",
    "vgg": "backbone=vgg11",
    "faster_rcnn": "model=faster_rcnn backbone=resnet18",
    "faster_rcnn_one_level": "model=faster_rcnn backbone=resnet18 neck=none",
    "fast_rcnn": "model=fast_rcnn backbone=resnet18",
    "rcnn": "model=rcnn backbone=resnet18",
}
WAITS = {"faster_rcnn": 5, "faster_rcnn_one_level": 5, "fast_rcnn": 5, "rcnn": 5}
"""How often the host may wait for a GPU in the losses of a step: of a single-shot detector never."""
SCENES = ["data=shapes", "data.val_images=1", "data.workers=0", "image_size=64", "data.scene_size=64"]


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Convolutions in float32, not in TF32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def first_batch(*overrides: str, images: int = 4) -> tuple[Any, Batch]:
    settings = composed(*SCENES, f"data.train_images={images}", f"data.batch_size={images}", *overrides)
    data = DetectionData.read(
        settings.data,
        settings.augment,
        settings.image_size,
        seed=settings.seed,
        epochs=settings.trainer.epochs,
        proposals=settings.model.proposal_request(),
    )
    torch.manual_seed(0)
    return (settings, build(settings, len(data.class_names))), next(iter(data.train_dataloader()))


@contextmanager
def waits() -> Iterator[list[str]]:
    """What the host waited for, in PyTorch's own words."""
    found: list[str] = []
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield found
    finally:
        torch.cuda.set_sync_debug_mode("default")
        found += [str(one.message) for one in caught if "synchroniz" in str(one.message)]


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_has_the_losses_of_a_cpu_and_waits_seldom(name: str) -> None:
    (settings, here), batch = first_batch(*RECIPES[name].split())
    there = copy.deepcopy(here).cuda()
    average = AveragedDetector(there, 0.99)
    pinned = batch.pin_memory()
    optimizer = settings.optim.build(there)
    found: dict[str, float] = {}
    for _ in range(2):  # the first step finds out what is kept for all steps
        optimizer.zero_grad()
        with waits() as copying:
            moved = pinned.to(torch.device("cuda"), non_blocking=True)
        torch.manual_seed(1)
        with waits() as losing:
            losses = there.losses(moved.images, moved.targets)
        with waits() as updating:
            torch.stack(list(losses.values())).sum().backward()
            torch.nn.utils.clip_grad_norm_(there.parameters(), 10.0, foreach=True)
            optimizer.step()
            average.update(there)
        found = found or {key: loss.item() for key, loss in losses.items()}
    assert copying == updating == []
    assert len(losing) <= WAITS.get(name, 0), losing
    torch.manual_seed(1)
    if name not in WAITS:  # regions are sampled at random, which a GPU does with numbers of its own
        expected = {key: loss.item() for key, loss in here.losses(batch.images, batch.targets).items()}
        assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", RECIPES)
def test_detections_are_those_of_a_cpu(name: str) -> None:
    (_, here), batch = first_batch(*RECIPES[name].split())
    here.eval()
    there = copy.deepcopy(here).cuda()
    moved = batch.pin_memory().to(torch.device("cuda"), non_blocking=True)
    detect_batch(there, moved)
    with waits() as detecting:
        found = detect_batch(there, moved)
    assert len(detecting) <= (5 if name in WAITS else 3), detecting
    for one, other in zip([one.cpu() for one in found], detect_batch(here, batch), strict=True):
        assert abs(len(one) - len(other)) <= 1
        number = min(len(one), len(other), 20)
        torch.testing.assert_close(one.scores[:number], other.scores[:number], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("graphs", [False, True], ids=["compiled", "graphs"])
def test_inductor_translates_a_step_once_and_leaves_its_losses(graphs: bool) -> None:
    overrides = "backbone.width=0.125", "neck.width=0.125"
    (_, detector), batch = first_batch(*overrides, images=6)
    detector.cuda()
    moved = batch.to(torch.device("cuda"))
    batches = [(moved.images[:n], moved.targets[:n]) for n in (6, 4, 6, 2)]
    with torch.no_grad():
        expected = [detector.losses(*one) for one in batches]
    torch._dynamo.reset()
    detector.compile_losses(mode="reduce-overhead" if graphs else None)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for (images, targets), losses in zip(batches, expected, strict=True):
            torch._dynamo.maybe_mark_dynamic(images, 0)
            torch.compiler.cudagraph_mark_step_begin()
            detector.zero_grad()  # its gradients lie where the graphs of the next step write
            compiled = detector.losses(images, targets)
            for key, loss in losses.items():
                torch.testing.assert_close(compiled[key].detach(), loss, rtol=1e-3, atol=1e-4)
            torch.stack(list(compiled.values())).sum().backward()


def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    words = [one for one in SMALL if not one.startswith(("trainer.", "data.train_images"))]
    words += ["data.train_images=64", "trainer.epochs=4", "trainer.deterministic=true", "trainer.ema=0.99"]
    whole = Script(tmp_path, "train", *words, "runs=whole").end()
    assert whole.code == 0, whole.output
    stopped = Script(tmp_path, "train", *words, "runs=stopped")
    stopped.wait_for(lambda: list(tmp_path.glob("stopped/*/*/last.ckpt")))
    stopped.send(signal.SIGTERM)
    assert stopped.end().code == 143
    run = next(path for path in tmp_path.glob("stopped/*/*") if path.is_dir() and not path.is_symlink())
    resumed = Script(tmp_path, "train", f"resume={run}").end()
    assert resumed.code == 0, resumed.output
    one, other = (weights(next(tmp_path.glob(f"{name}/*/*/last.ckpt"))) for name in ("whole", "stopped"))
    assert all(torch.equal(one[key], other[key]) for key in one)


def weights(file: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(os.fspath(file), map_location="cpu", weights_only=False)["state_dict"]
    return state
