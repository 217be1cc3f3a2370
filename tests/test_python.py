"""`build`, `train`, `evaluate` and `load` from Python, and the two classes for a `lightning.Trainer` of one's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import lightning
import numpy as np
import pytest
import torch
from composition import composed
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

import detector
from detector import checkpoint, config
from detector.checkpoint import open_checkpoint
from detector.command_line import names
from detector.config import plugins
from detector.data.index import AnnotatedObjects, Index, InMemory, assemble
from detector.data.module import DetectionData
from detector.data.read import read_index
from detector.errors import UserError
from detector.evaluation.evaluate import evaluate
from detector.options import PARTS
from detector.training.module import DetectionModule
from detector.training.run_folder import read_config
from detector.training.train import train
from detector.types import Detections, Target

Configure = Callable[..., config.Train]
SCENES = config.Shapes(scene_size=64, train_images=8, val_images=4, test_images=2, batch_size=4, workers=0)
QUIET = config.Trainer(epochs=1, accelerator="cpu", precision="fp32", progress=False)
SMALL: dict[str, Any] = {
    "backbone": config.CSPDarknetOptions(depth=0.33, width=0.125),
    "neck": config.PANOptions(depth=0.33, width=0.125),
    "head": config.AnchorFreeHeadOptions(convolutions=1),
}
HERE: dict[str, Any] = {"trainer": QUIET, "logger": "csv", "image_size": 64}


def weights(file: Path) -> dict[str, Tensor]:
    return cast(dict[str, Tensor], torch.load(file, weights_only=True)["state_dict"])


def test_importing_the_package_waits_for_nothing_and_its_functions_are_public() -> None:
    code = "import sys, detector; assert not {'torch', 'hydra', 'yaml'} & set(sys.modules); print(detector.__all__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(["__version__", "build", "evaluate", "load", "train"])


WANTING = {("backbone", "darknet_cfg"), ("backbone", "timm")}
"""Choices that are none before another value is given."""


SLOW = [
    pytest.param(one, marks=pytest.mark.slow)
    for one in ("backbone", "neck", "head", "assigner", "trainer", "data", "augment", "optim", "logger", "callbacks")
]


@pytest.mark.parametrize("group", ["loss", *SLOW])
def test_a_name_means_what_it_means_on_the_command_line(group: str) -> None:
    for name in names(group):
        if (group, name) not in WANTING:
            with_head = ["head=anchor_based"] if name == "max_iou" else []
            data = [] if group == "data" else ["data=shapes"]
            assert config.choose(group, name) == getattr(composed(*data, *with_head, f"{group}={name}"), group), name
    if group != "data":
        assert config.choose(group) == getattr(composed("data=shapes"), group)


@pytest.mark.parametrize("model", ["single_shot", "faster_rcnn", "fast_rcnn", "rcnn"])
def test_a_model_gets_the_parts_that_it_gets_on_the_command_line(model: str) -> None:
    expected = composed("data=shapes", f"model={model}", "image_size=96")
    found = config.choose_detector(model, 96)
    assert {group: getattr(found, group) for group in ("model", *PARTS, "image_size")} == {
        group: getattr(expected, group) for group in ("model", *PARTS, "image_size")
    }


def test_a_detector_is_built_of_names_and_options_and_says_what_it_is_made_of() -> None:
    loss = config.CriterionOptions(name="mine", box="giou")
    built: Any = detector.build(3, backbone="resnet18", neck="fpn", loss=loss, image_size=96)
    assert built.criterion.box_loss.kind == "giou"
    assert built.detector_options.backbone == config.ResNetOptions(depth=18)
    images = torch.zeros(2, 3, 96, 96, dtype=torch.uint8)
    assert [len(one.boxes) for one in built.eval().detect(images)] == [100, 100]
    assert set(built.losses(images, [target(), target()])) == {"class", "box", "distribution"}


def target() -> Target:
    empty = torch.zeros(0)
    boxes = torch.zeros(0, 4)
    return Target(boxes, empty.long(), empty.bool(), empty, 0, (96, 96), torch.eye(3))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"backbone": "resnet19"}, "backbone=resnet19: choose one of "),
        ({"neck": 3}, "neck=3: the name of a choice (fpn, none, pan) or NeckOptions are expected"),
        ({"model": "faster_rcnn", "loss": "giou"}, "loss=giou: has no meaning with model=faster_rcnn"),
        ({"backbone": config.ResNetOptions(depth=19)}, "backbone.depth=19"),
        ({"image_size": 0}, "image_size=0"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        detector.build(3, **given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_training_from_python_gives_the_weights_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = detector.train(SCENES, **SMALL, **HERE, loss="giou", augment="light", epochs=2, seed=3, runs=tmp_path / "a")
    settings = composed(
        "data=shapes", "data.scene_size=64", "data.train_images=8", "data.val_images=4", "data.batch_size=4",
        "data.workers=0", "image_size=64", "loss=giou", "augment=light", "seed=3", "logger=csv", "backbone.width=0.125",
        "neck.width=0.125", "head.convolutions=1", "trainer.epochs=2", "trainer.accelerator=cpu",
        "trainer.precision=fp32", "trainer.progress=false", f"runs={tmp_path / 'b'}",
    )  # fmt: skip
    folder = train(settings)
    one, other = weights(run.folder / "last.ckpt"), weights(folder / "last.ckpt")
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert run.metrics["epochs"] == 2
    assert run.checkpoint == run.folder / "best.ckpt"
    scene = read_index(SCENES, "val").image(0)
    found, again = (
        run.predictor(accelerator="cpu").predict(scene, 0.0),
        detector.load(run.checkpoint).predict(scene, 0.0),
    )
    assert torch.equal(found.boxes, again.boxes)
    assert len(found)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert run.predictor().dtype == detector.load(run.checkpoint).dtype == torch.bfloat16


def test_a_built_detector_is_trained_in_place_and_measured_as_its_checkpoint(tmp_path: Path) -> None:
    built = detector.build(5, **SMALL, image_size=64)
    before = {name: value.clone() for name, value in built.state_dict().items()}
    here = {key: value for key, value in HERE.items() if key != "image_size"}
    trainer = config.Trainer(epochs=1, accelerator="cpu", precision="fp32", progress=False, ema=0.0)
    run = detector.train(SCENES, model=built, **{**here, "trainer": trainer}, runs=tmp_path)
    saved = {name.removeprefix("detector."): value for name, value in weights(run.checkpoint).items()}
    moved = [name for name, value in built.named_parameters() if not torch.equal(value, before[name])]
    assert len(moved) > 10
    assert all(torch.equal(value, saved[name]) for name, value in built.named_parameters())
    of_file = detector.evaluate(run.checkpoint, accelerator="cpu", output=tmp_path / "file")
    built.load_state_dict(saved)  # with the statistics of batch norm that the evaluation of a first epoch uses
    of_memory = detector.evaluate(built.train(), SCENES, accelerator="cpu", output=tmp_path / "memory")
    index = read_index(SCENES, "val")
    of_index = detector.evaluate(run.checkpoint, index, accelerator="cpu", output=tmp_path / "index")
    assert of_file["AP"] == of_memory["AP"] == of_index["AP"] == run.metrics["AP"]
    assert of_file["AR100"] == of_memory["AR100"] == of_index["AR100"] == run.metrics["AR100"]
    assert built.training
    with pytest.raises(UserError, match=r"loss: stands in the detector that is given"):
        detector.train(SCENES, model=built, loss="giou", runs=tmp_path)
    with pytest.raises(UserError, match=r"for the 5 classes of the data .*: build it with classes=5"):
        detector.train(SCENES, model=detector.build(4, **SMALL, image_size=64), **here, runs=tmp_path)


@dataclass
class SquaredErrorOptions(config.CriterionOptions):
    """A loss of a notebook's own."""

    name: str = "squared_error"

    def build_box_loss(self) -> Any:
        return lambda predicted, wanted, size: ((predicted - wanted) / size[0]).square().sum(-1)


def test_a_loss_written_in_a_notebook_is_trained_with_and_its_checkpoint_opens(tmp_path: Path) -> None:
    try:
        run = detector.train(SCENES, **SMALL, **HERE, loss=SquaredErrorOptions(box_weight=2.0), runs=tmp_path)
        opened = open_checkpoint(run.checkpoint).options.loss
        assert isinstance(opened, SquaredErrorOptions)
        assert opened.box_weight == 2.0
    finally:
        plugins._remove("loss", SquaredErrorOptions)


# ------------------------------------------------------------------------------------------- a trainer of one's own
def rectangles(count: int, seed: int) -> Index:
    """Annotations as they may lie in a list: (image, [(class, x1, y1, x2, y2), ...])."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        image = rng.integers(0, 60, (64, 64, 3), dtype=np.uint8)
        x, y = rng.integers(2, 30, 2).tolist()
        image[y : y + 28, x : x + 28] = (255, 40, 40)
        rows.append((image, [("red", x, y, x + 28, y + 28)]))
    images = [image for image, _ in rows]
    objects = [(i, box) for i, (_, boxes) in enumerate(rows) for box in boxes]
    index = assemble(
        class_names=("red", "green"),
        category_ids=(1, 2),
        image_ids=range(count),
        files=[""] * count,
        sizes=np.array([image.shape[:2] for image in images]),
        objects=AnnotatedObjects(
            owners=[i for i, _ in objects],
            boxes=[box[1:] for _, box in objects],
            labels=[("red", "green").index(box[0]) for _, box in objects],
            crowd=[False] * len(objects),
            where=lambda n: f"object {n}",
        ),
    )
    index.painter = InMemory(dict(enumerate(images)))
    return index


def own_data(**options: Any) -> DetectionData:
    return DetectionData(rectangles(12, 0), rectangles(4, 1), image_size=64, batch_size=4, workers=0, **options)


def own_trainer(folder: Path, epochs: int, **options: Any) -> lightning.Trainer:
    return lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        callbacks=[ModelCheckpoint(dirpath=folder, filename="last", enable_version_counter=False)],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )


@pytest.mark.filterwarnings("ignore")
def test_annotations_of_a_list_are_learned_with_a_trainer_of_ones_own_and_the_checkpoint_opens(tmp_path: Path) -> None:
    built = detector.build(2, **SMALL, image_size=64)
    module = DetectionModule(built, config.AdamWOptions(lr=0.004, warmup_epochs=1.0), ema=0.9)
    data = own_data()
    own_trainer(tmp_path, 20, check_val_every_n_epoch=10).fit(module, datamodule=data)
    assert module.best["AP50"] > 0.5
    model = detector.load(tmp_path / "last.ckpt", accelerator="cpu")
    assert model.class_names == ("red", "green")
    assert model.checkpoint.run is None
    results = []
    for i in range(len(data.val_index)):
        results += model.predict(data.val_index.image(i), 0.001).to_coco(i, (1, 2))
    assert evaluate(data.val_index, results)["AP"] == pytest.approx(module.metrics["AP"], abs=1e-3)
    with pytest.raises(UserError, match="was made without data"):
        detector.evaluate(tmp_path / "last.ckpt", output=tmp_path / "out")


@pytest.mark.filterwarnings("ignore")
def test_the_schedule_is_as_long_as_the_trainer_and_clipping_is_its_own(tmp_path: Path) -> None:
    module = DetectionModule(detector.build(2, **SMALL, image_size=64), config.SGDOptions(warmup_epochs=0.0), ema=0.0)
    largest: list[float] = []

    class Watch(lightning.Callback):
        def on_before_zero_grad(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            gradients = [p.grad.norm() for p in pl_module.parameters() if p.grad is not None]
            if gradients:
                largest.append(torch.stack(gradients).norm().item())

    trainer = own_trainer(tmp_path, 3, accumulate_grad_batches=2, gradient_clip_val=0.5)
    trainer.callbacks.append(Watch())  # type: ignore[attr-defined]
    trainer.fit(module, datamodule=own_data())
    assert trainer.global_step == 6  # 3 batches an epoch, a step every 2
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.01 * module.optim.final_lr)
    assert max(largest) == pytest.approx(0.5, rel=1e-3)


@pytest.mark.filterwarnings("ignore")
def test_data_of_a_list_are_trained_on_as_a_run_and_what_stands_twice_is_refused(tmp_path: Path) -> None:
    here = {key: value for key, value in HERE.items() if key != "image_size"}
    run = detector.train(own_data(), **SMALL, **here, runs=tmp_path, epochs=2)
    assert run.metrics["per_class"].keys() == {"red", "green"}
    again = detector.evaluate(run.checkpoint, rectangles(4, 1), accelerator="cpu", output=tmp_path / "out")
    assert again["AP"] == run.metrics["AP"]
    with pytest.raises(UserError, match=r"augment: stands in DetectionData"):
        detector.train(own_data(), augment="light", runs=tmp_path)
    with pytest.raises(UserError, match=r"has no data: the run was given its images from Python"):
        read_config(run.folder)


def test_images_that_cannot_be_sent_to_another_process_are_said() -> None:
    index = rectangles(8, 0)
    index.painter = lambda image_id: np.zeros((64, 64, 3), dtype=np.uint8)
    with pytest.raises(UserError, match=r"data\.workers: .* cannot be sent to another process .*workers=0"):
        DetectionData(index, index, image_size=64, batch_size=4, workers=1).prepare_data()


def test_splits_with_other_classes_are_refused() -> None:
    other = rectangles(4, 1)
    other.class_names = ("green", "red")
    with pytest.raises(UserError, match="they must be the same, in the same order"):
        DetectionData(rectangles(4, 0), other, image_size=64)


class OfTorchvision(nn.Module):
    """A detector of torchvision's, whose labels begin at 1, as a `Detector`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def losses(self, images: Tensor, targets: list[Target]) -> dict[str, Tensor]:
        self.model.train()  # gives losses in training mode alone
        wanted = [{"boxes": one.boxes, "labels": one.labels + 1} for one in targets]
        losses: dict[str, Tensor] = self.model(list(images / 255), wanted)
        return losses

    @torch.no_grad()
    def detect(self, images: Tensor) -> list[Detections]:
        found = self.model.eval()(list(images / 255))
        return [Detections(one["boxes"], one["scores"], one["labels"] - 1) for one in found]


@pytest.mark.filterwarnings("ignore")
def test_a_detector_of_torchvision_trains_and_is_measured(tmp_path: Path) -> None:
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.rpn import AnchorGenerator

    torch.manual_seed(0)
    layers = [[nn.Conv2d(i, o, 3, 2, 1), nn.BatchNorm2d(o), nn.ReLU()] for i, o in ((3, 8), (8, 16), (16, 16))]
    backbone: Any = nn.Sequential(*(layer for group in layers for layer in group))
    backbone.out_channels = 16
    anchors = AnchorGenerator(((16, 32),), ((1.0,),))
    sizes = {"min_size": 64, "max_size": 64, "rpn_pre_nms_top_n_test": 50, "rpn_post_nms_top_n_test": 20}
    model = OfTorchvision(FasterRCNN(backbone, num_classes=3, rpn_anchor_generator=anchors, **sizes))
    before = {name: value.clone() for name, value in model.named_parameters()}
    module = DetectionModule(model, config.AdamWOptions(lr=1e-3, warmup_epochs=0.0), ema=0.5)
    own_trainer(tmp_path, 2).fit(module, datamodule=own_data())
    assert module.metrics["AP"] is not None
    assert sum(not torch.equal(value, before[name]) for name, value in model.named_parameters()) > 15
    opened = open_checkpoint(tmp_path / "last.ckpt")
    model.load_state_dict(opened.weights)  # the averaged ones
    data = own_data()
    measured = detector.evaluate(model, data.val_index, image_size=64, accelerator="cpu", output=tmp_path / "out")
    assert measured["AP"] == module.metrics["AP"]
    with pytest.raises(UserError, match="holds the weights of a module that is not one of this project's"):
        detector.load(tmp_path / "last.ckpt")
    with pytest.raises(UserError, match=r"a OfTorchvision that detector\.build has not made: train it with"):
        detector.train(SCENES, model=model)
    with pytest.raises(UserError, match="image_size must be given"):
        detector.evaluate(model, data.val_index)


def test_a_checkpoint_of_python_has_no_other_build_than_the_command_line(tiny: Configure) -> None:
    settings = tiny()
    torch.manual_seed(1)
    one = checkpoint.build(settings, 5).state_dict()
    torch.manual_seed(1)
    other = detector.build(
        5, model=settings.model, **{group: getattr(settings, group) for group in PARTS}, image_size=settings.image_size
    ).state_dict()
    assert all(torch.equal(value, other[name]) for name, value in one.items())
