import os
import pickle

import numpy as np
import pytest
import torch
from painted_scenes import painted_index
from torch.utils.data import DataLoader

from detector import config
from detector.data.batch import collate
from detector.data.cache import open_images
from detector.data.dataset import DetectionDataset
from detector.data.index import Index
from detector.data.loader import Loader
from detector.data.sampler import EpochSampler
from detector.types import Batch

EVERYTHING = config.Augment(
    name="everything",
    mosaic=0.5,
    mixing_off_epochs=2,
    mixup=0.3,
    cutmix=0.3,
    erasing=0.3,
    blur=0.3,
    noise=0.3,
    flip_horizontal=0.5,
    rotate90=0.3,
    degrees=5,
    translate=0.1,
    scale=0.5,
    hue=0.02,
    saturation=0.5,
    value=0.4,
    albumentations=[{"name": "RandomBrightnessContrast", "p": 0.5}, {"name": "HorizontalFlip", "p": 0.5}],
)


def loader(dataset: DetectionDataset, workers: int, shuffle: bool = True) -> DataLoader[Batch]:
    return Loader(
        dataset,  # type: ignore[arg-type]
        name="scenes",
        workers=workers,
        timeout=120,
        batch_size=4,
        run=2,
        sampler=EpochSampler(len(dataset), shuffle=shuffle, seed=dataset.seed, group=8),
        collate_fn=collate,
        persistent_workers=workers > 0,
    )


def epoch_of(batches: DataLoader[Batch], epoch: int) -> dict[object, tuple[torch.Tensor, torch.Tensor]]:
    batches.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    return {
        target.image_id: (image.clone(), target.boxes)
        for batch in batches
        for image, target in zip(batch.images, batch.targets, strict=True)
    }


def same(a: tuple[torch.Tensor, torch.Tensor], b: tuple[torch.Tensor, torch.Tensor]) -> bool:
    return all(x.shape == y.shape and bool((x == y).all()) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("cache", ["none", "ram"])
def test_pictures_are_the_same_whatever_the_number_of_workers(cache: str) -> None:
    results = []
    for workers in (0, 1, 2):
        index = painted_index()
        images = open_images(index, cache, 96)
        batches = loader(DetectionDataset(index, 96, EVERYTHING, seed=5, epochs=10, images=images), workers)
        results.append([epoch_of(batches, epoch) for epoch in (0, 1)])
    for other in results[1:]:
        for expected, got in zip(results[0], other, strict=True):
            assert expected.keys() == got.keys()
            assert all(same(expected[key], got[key]) for key in expected)


def test_two_epochs_and_two_workers_give_different_augmentations() -> None:
    batches = loader(DetectionDataset(painted_index(), 96, EVERYTHING, epochs=10), workers=2)
    first, second = epoch_of(batches, 0), epoch_of(batches, 1)
    assert not any(same(first[key], second[key]) for key in first)
    # Of one image repeated, as if each worker started its own stream: no two pictures alike.
    repeated = DetectionDataset(painted_index().subset([3] * 8), 96, EVERYTHING, epochs=10)
    pictures = [image for batch in loader(repeated, workers=2, shuffle=False) for image in batch.images]
    assert len({picture.numpy().tobytes() for picture in pictures}) == 8


def test_the_order_changes_each_epoch_in_workers_that_stay() -> None:
    batches = loader(DetectionDataset(painted_index(), 64, EVERYTHING, epochs=10), workers=2)
    orders = [list(epoch_of(batches, epoch)) for epoch in range(3)]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert sorted(map(str, orders[0])) == sorted(map(str, orders[1]))


@pytest.mark.parametrize(("mixing", "workers"), [("mosaic", 0), ("mosaic", 2), ("mixup", 2), ("cutmix", 0)])
def test_mixing_is_off_in_exactly_the_last_epochs(mixing: str, workers: int) -> None:
    index = painted_index()
    augment = config.Augment(name="mixing", mixing_off_epochs=2, **{mixing: 1.0})  # type: ignore[arg-type]
    batches = loader(DetectionDataset(index, 128, augment, epochs=5), workers)
    plain = loader(DetectionDataset(index, 128, config.Augment(name="none")), 0)
    alone = epoch_of(plain, 0)
    for epoch in range(5):
        pictures = epoch_of(batches, epoch)
        unmixed = [same(pictures[key], alone[key]) for key in alone]
        # a small rectangle may show what was there before: background
        assert all(unmixed) if epoch >= 3 else sum(unmixed) <= (3 if mixing == "cutmix" else 0)


def test_the_last_epochs_are_the_same_after_a_new_start() -> None:
    """A resumed run makes new workers and begins in the middle."""
    once = loader(DetectionDataset(painted_index(), 96, EVERYTHING, seed=1, epochs=4), 2)
    through = [epoch_of(once, epoch) for epoch in range(4)]
    again = loader(DetectionDataset(painted_index(), 96, EVERYTHING, seed=1, epochs=4), 2)
    for epoch in (2, 3):
        resumed = epoch_of(again, epoch)
        assert list(resumed) == list(through[epoch])
        assert all(same(resumed[key], through[epoch][key]) for key in resumed)


def test_a_batch_is_its_samples() -> None:
    dataset = DetectionDataset(painted_index(), 96, EVERYTHING, epochs=10)
    keys = [(0, 3), (2, 3), (0, 7)]
    batch = dataset.__getitems__(keys)
    assert batch.images.shape == (3, 3, 96, 96)
    assert batch.images.is_contiguous()
    for key, image, target in zip(keys, batch.images, batch.targets, strict=True):
        alone, alone_target = dataset[key]
        assert torch.equal(image, alone)
        assert torch.equal(target.boxes, alone_target.boxes)


def test_batches_that_are_kept_are_not_written_over() -> None:
    dataset = DetectionDataset(painted_index(), 96, EVERYTHING, epochs=10)
    batches = loader(dataset, workers=2, shuffle=False)
    kept = list(batches)
    pictures = [image for batch in kept for image in batch.images]
    assert all(torch.equal(picture, dataset[key][0]) for key, picture in zip(batches.sampler, pictures, strict=True))


class Counted:
    """Images that list the positions at which they are asked for."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.asked: list[int] = []

    def image(self, i: int) -> np.ndarray:
        self.asked.append(i)
        return self.index.image(i)


@pytest.mark.parametrize("kind", ["mosaic", "mixup"])
def test_each_image_is_decoded_once_an_epoch_however_often_it_is_mixed(kind: str) -> None:
    images = Counted(painted_index(count=32))
    augment = config.Augment(name=kind, mixing_off_epochs=1, **{kind: 1.0})  # type: ignore[arg-type]
    batches = loader(DetectionDataset(images.index, 32, augment, epochs=2, images=images), workers=0)
    for epoch in range(2):
        images.asked.clear()
        epoch_of(batches, epoch)
        assert sorted(images.asked) == list(range(32))


def test_a_mosaic_is_made_of_four_different_images_of_the_key() -> None:
    images = Counted(painted_index(count=32))
    dataset = DetectionDataset(images.index, 32, config.Augment(name="mosaic", mosaic=1.0), epochs=20, images=images)
    group, partners = np.array([4, 30, 7, 9, 12, 21]), set()
    for epoch in range(20):
        images.asked.clear()
        dataset._make_room()  # forgets what it has decoded
        dataset[epoch, 9, group if epoch % 2 else group[:4]]
        assert len(images.asked) == len(set(images.asked)) == 4
        assert {9} < set(images.asked) <= set(group.tolist() if epoch % 2 else group[:4].tolist())
        partners |= set(images.asked)
    assert partners == set(group.tolist())


def test_targets_do_not_change_the_index_they_come_from() -> None:
    index = painted_index(crowd=True)
    before = pickle.dumps((index.boxes, index.labels, index.crowd, index.area))
    for augment in (None, config.Augment(name="none")):
        _, target = DetectionDataset(index, 64, augment)[0, 1]
        for tensor in (target.boxes, target.labels, target.crowd, target.area):
            tensor.zero_()
    assert pickle.dumps((index.boxes, index.labels, index.crowd, index.area)) == before


def test_a_loader_opens_few_files_however_many_objects_it_passes_on() -> None:
    """A tensor between processes is an open file; thousands of targets must not be thousands of files."""
    dataset = DetectionDataset(painted_index(count=200, sides=(40, 60)), 32, EVERYTHING, epochs=10)
    kept = list(loader(dataset, workers=2))
    assert len(os.listdir("/proc/self/fd")) < 4 * len(kept) + 100 if os.path.isdir("/proc/self/fd") else True
    assert sum(len(batch.targets) for batch in kept) == 200


@pytest.mark.parametrize("size", [64, 96, 288])
def test_training_without_augmentation_shows_what_evaluation_shows(size: int) -> None:
    """Small images are enlarged and large ones made smaller, as the letterbox does, to a pixel's rounding."""
    index = painted_index()
    trained = DetectionDataset(index, size, config.Augment(name="none"))
    evaluated = DetectionDataset(index, size)
    for i in range(len(index)):
        (picture, target), (letterboxed, expected) = trained[0, i], evaluated[0, i]
        torch.testing.assert_close(target.boxes, expected.boxes, atol=1.0, rtol=0)
        assert torch.equal(target.labels, expected.labels)
        torch.testing.assert_close(target.transform, expected.transform, atol=1.0, rtol=0.02)
        assert (picture.float() - letterboxed.float()).abs().mean() < 6


def test_pictures_of_one_epoch_differ_between_images_and_seeds() -> None:
    """Nothing but the generator of (seed, epoch, index) decides: one index twice is the same view of two pictures."""
    index = painted_index()
    augment = config.Augment(name="view", translate=0.3, scale=0.5)
    dataset = DetectionDataset(index, 96, augment, seed=1)
    transforms = [dataset[0, i][1].transform for i in range(len(index))]
    places = torch.stack([t[:2, 2] / 96 for t in transforms])
    assert places.std(dim=0).min() > 0.05
    other = DetectionDataset(index, 96, augment, seed=2)
    assert not any(torch.equal(t, other[0, i][1].transform) for i, t in enumerate(transforms))
