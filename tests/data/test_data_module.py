from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader

from detector import config
from detector.data import module as module_file
from detector.data import split_loader
from detector.data.loader import Loader
from detector.data.module import DetectionData
from detector.data.read import read_index
from detector.data.sampler import EpochSampler
from detector.data.split_loader import evaluation_loader
from detector.errors import UserError
from detector.types import Batch

AUGMENT = config.Augment(name="mosaic", mosaic=1.0, mixing_off_epochs=1)


def shapes(**changes: Any) -> config.Shapes:
    options: dict[str, Any] = {
        "scene_size": 64,
        "train_images": 10,
        "val_images": 5,
        "test_images": 3,
        "batch_size": 4,
        "workers": 0,
    }
    return config.Shapes(**{**options, **changes})


class Recorder(lightning.LightningModule):
    """Trains nothing and remembers which keys the loader was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: dict[int, list[bytes]] = {}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        self.seen.setdefault(self.current_epoch, []).append(batch.images.numpy().tobytes())
        return self.weight.sum()

    def validation_step(self, batch: Batch, _: int) -> None:
        assert batch.images.dtype == torch.uint8


def trainer(folder: Path, epochs: int) -> lightning.Trainer:
    return lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        default_root_dir=folder,
        callbacks=[ModelCheckpoint(dirpath=folder, filename="last", enable_version_counter=False)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.filterwarnings("ignore")
def test_lightning_tells_the_epoch_also_after_a_resume(tmp_path: Path, workers: int) -> None:
    through = Recorder()
    trainer(tmp_path / "a", 4).fit(through, DetectionData.read(shapes(workers=workers), AUGMENT, 64, epochs=4))

    stopped, resumed = Recorder(), Recorder()
    trainer(tmp_path / "b", 2).fit(stopped, DetectionData.read(shapes(workers=workers), AUGMENT, 64, epochs=4))
    data = DetectionData.read(shapes(workers=workers), AUGMENT, 64, epochs=4)
    trainer(tmp_path / "b", 4).fit(resumed, data, ckpt_path=tmp_path / "b" / "last.ckpt")

    assert set(resumed.seen) == {2, 3}
    assert stopped.seen | resumed.seen == through.seen
    expected = DetectionData.read(shapes(workers=workers), AUGMENT, 64, epochs=4).train_dataloader()
    for epoch in range(4):
        expected.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        assert [batch.images.numpy().tobytes() for batch in expected] == through.seen[epoch]


def test_a_last_smaller_batch_is_left_out_of_training_alone() -> None:
    data = DetectionData.read(shapes(), AUGMENT, 64)
    assert [len(batch.targets) for batch in data.train_dataloader()] == [4, 4]
    assert [len(batch.targets) for batch in data.val_dataloader()] == [4, 1]


@pytest.mark.parametrize(("batch_size", "group"), [(1, 16), (4, 64), (16, 64), (24, 72), (100, 100)])
def test_images_that_are_mixed_are_loaded_by_one_process_whatever_the_batch_size(batch_size: int, group: int) -> None:
    """Otherwise several would decode the same images; and with fewer batches ahead than that some would have no work."""
    data = DetectionData.read(shapes(train_images=2, workers=3, batch_size=batch_size), AUGMENT, 64)
    batches = data.train_dataloader()
    assert isinstance(batches, Loader)
    assert isinstance(batches.sampler, EpochSampler)
    assert batches.run * batch_size == batches.sampler.group == group
    assert batches.prefetch_factor is not None
    assert batches.prefetch_factor >= batches.run


def test_fewer_images_than_a_batch_are_still_trained_on() -> None:
    data = DetectionData.read(shapes(train_images=3), AUGMENT, 64)
    assert [len(batch.targets) for batch in data.train_dataloader()] == [3]


def test_validation_shows_every_image_once_in_order_without_augmentation() -> None:
    data = DetectionData.read(shapes(), AUGMENT, 96)
    ids = [target.image_id for batch in data.val_dataloader() for target in batch.targets]
    assert ids == data.val_index.image_ids.tolist()
    batch = next(iter(data.val_dataloader()))
    for i, target in enumerate(batch.targets):
        assert target.transform.tolist() == [[1.5, 0, 0], [0, 1.5, 0], [0, 0, 1]]
        torch.testing.assert_close(target.boxes, 1.5 * data.val_index.target(i).boxes)


def test_any_split_can_be_loaded_for_evaluation_and_shared_by_processes() -> None:
    index = read_index(shapes(), "test")
    shares = [evaluation_loader(index, shapes(), 64, rank=rank, world_size=2) for rank in range(2)]
    ids = [[target.image_id for batch in share for target in batch.targets] for share in shares]
    assert sorted(ids[0] + ids[1], key=int) == index.image_ids.tolist()


def test_names_come_from_the_data() -> None:
    data = DetectionData.read(shapes(), AUGMENT, 64)
    assert data.class_names == data.train_index.class_names == data.val_index.class_names
    assert len(data.category_ids) == len(data.class_names)
    assert data.problems == {"train": [], "val": []}


@pytest.mark.parametrize(("size", "near"), [(100, "96"), (0, "32"), (-32, "32"), (650, "640")])
def test_an_image_size_that_the_strides_do_not_divide_is_refused(size: int, near: str) -> None:
    with pytest.raises(UserError, match=f"image_size={size} .*multiple of 32.*use {near}"):
        DetectionData.read(shapes(), AUGMENT, size)


@pytest.mark.parametrize(("key", "value"), [("batch_size", 0), ("workers", -1)])
def test_a_loader_that_cannot_be_is_refused(key: str, value: int) -> None:
    with pytest.raises(UserError, match=rf"data\.{key}={value}: a whole number from {int(key == 'batch_size')}"):
        DetectionData.read(shapes(**{key: value}), AUGMENT, 64).train_dataloader()


def test_loader_processes_follow_from_the_cores_of_the_rank_unless_they_are_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module_file, "cores_of_this_rank", lambda: 4.0)
    monkeypatch.setattr(split_loader, "usable_cores", lambda: 8.0)  # of the whole machine
    for given, expected in ((None, 3), (0, 0), (2, 2)):
        data = DetectionData.read(shapes(workers=given), AUGMENT, 64)
        data.setup("fit")  # as a trainer calls it on every process
        assert data.train_dataloader().num_workers == data.val_dataloader().num_workers == expected
    assert DetectionData.read(shapes(workers=None), AUGMENT, 64).train_dataloader().num_workers == 7
    assert evaluation_loader(read_index(shapes(), "val"), shapes(workers=None), 64).num_workers == 7


def test_loading_leaves_torchs_random_numbers_alone() -> None:
    data = DetectionData.read(shapes(), AUGMENT, 64)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    loaders: list[DataLoader[Batch]] = [data.train_dataloader(), data.val_dataloader()]
    for loader in loaders:
        list(loader)
    assert torch.equal(torch.rand(3), expected)
