"""From an index to batches: the pictures that the model sees and their objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from detector.data.augment.albumentations import camera_faults
from detector.data.augment.canvas import draw
from detector.data.augment.canvas_objects import CanvasObjects, best_first
from detector.data.augment.mixing import cut_mix, erase, mix_up
from detector.data.augment.mosaic import QUADRANTS, random_centre, tile_placement
from detector.data.augment.random_views import (
    check_augment,
    jitter_colour,
    mixing_epochs,
    random_orientation,
    random_view,
)
from detector.data.batch import NO_SHARED_MEMORY, empty_images
from detector.data.cache import Images, KeptImages, open_images
from detector.data.geometry import hull_size, scaling, transform_boxes
from detector.data.images.letterbox import GREY, check_resize, fit_square
from detector.data.images.loading import loaded_size, loading_limit
from detector.data.index import Index
from detector.data.loader import no_note
from detector.data.options import Augment
from detector.data.sampler import Key
from detector.errors import RunError
from detector.types import Batch, Target

_NO_IMAGE = np.empty(0, dtype=np.int64)
_NOT_SENT = ("_canvases", "_planes", "_kept")
"""What a process writes to, and makes for itself."""


class DetectionDataset(Dataset[tuple[Tensor, Target]]):
    """Samples of one split: (uint8 [3, S, S] RGB, its target in pixels of that picture), S = `image_size`.

    Where an image is mixed with others, in a mosaic, MixUp or CutMix, they are drawn from those that its key names, which
    are kept decoded until a key names others; from the whole index where it names none.

    A loader with `collate_fn=collate` gets whole batches, each picture written only once, where it is to be.

    Args:
        index: what the split holds.
        image_size: side of the square that the model sees.
        augment: for training; None for evaluation, where each image is brought into the square and nothing else.
        seed: with the key it decides every random choice, so that a sample is the same whatever the number of loader
            processes, and another one each epoch.
        epochs: length of the training, from whose end `augment.mixing_off_epochs` counts.
        images: the index's images; decoded each time they are asked for, if not given.
        proposals: boxes float32 [P, 4] of the image at a position, in its original pixels, best first: they travel with
            the objects, at most `max_proposals` with each picture.
        resize: letterbox keeps the shape of things and leaves a grey border; stretch fills the square.

    Raises:
        UserError: an image cannot be read (when it is asked for), an augmentation does not exist or a value of it is out
            of its range.
    """

    def __init__(
        self,
        index: Index,
        image_size: int,
        augment: Augment | None = None,
        seed: int = 0,
        epochs: int = 1,
        images: Images | None = None,
        proposals: Callable[[int], np.ndarray] | None = None,
        max_proposals: int = 2000,
        resize: str = "letterbox",
    ) -> None:
        check_resize(resize)
        if augment is not None:
            check_augment(augment)
        self.index = index
        self.size = image_size
        self.augment = augment
        self.seed = seed
        self.mixed_epochs = mixing_epochs(augment, epochs) if augment else 0
        self.camera_faults = camera_faults(augment, self.size) if augment else []
        self.last = augment.build(self.size) if augment else []
        self.proposals = proposals
        self.max_proposals = max_proposals
        self.resize = resize
        self.limit = loading_limit(image_size, resize)
        self.images = open_images(index, "none", self.limit) if images is None else images
        self.note: Callable[[int | None], None] = no_note
        self._make_room()

    def _make_room(self) -> None:
        # Two canvases and room for other colours, used for every sample: fresh memory costs more than what is done with it.
        self._canvases = np.empty((3, self.size, self.size, 3), dtype=np.uint8)
        self._kept = KeptImages(self.images)

    def __getstate__(self) -> dict[str, Any]:
        """All but what a process writes to."""
        return {name: value for name, value in vars(self).items() if name not in _NOT_SENT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._make_room()

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: Key) -> tuple[Tensor, Target]:
        batch = self.__getitems__([key])
        return batch.images[0], batch.targets[0]

    def __getitems__(self, keys: Sequence[Key]) -> Batch:
        """The samples of several keys as one batch; the loader calls this in place of `__getitem__`.

        Raises:
            RunError: no shared memory is left for it.
        """
        try:
            images = empty_images(len(keys), self.size)
        except RunError as error:
            raise RunError(f"{error} before loading {self.where(keys[0][1])}; {NO_SHARED_MEMORY}") from error
        targets = [self._sample(key, planes) for key, planes in zip(keys, images.numpy(), strict=True)]
        self.note(None)
        return Batch(images, targets)

    def where(self, position: int) -> str:
        """The file of the image at a position of the index, or its id where it is drawn."""
        return self.index.where(position)

    def _image(self, i: int) -> np.ndarray:
        self.note(i)
        return self._kept.image(i)

    def _sample(self, key: Key, planes: np.ndarray) -> Target:
        """Writes one picture into `planes`, uint8 [3, S, S]."""
        epoch, i, *group = key
        if self.augment is None:
            canvas, objects, matrix = self._whole(i)
        else:
            mixed = epoch < self.mixed_epochs
            self._kept.keep(group[0] if group and mixed else _NO_IMAGE)
            partners = None if not mixed else group[0] if group else np.arange(len(self))
            canvas, objects, matrix = self._augmented(np.random.default_rng([self.seed, epoch, i]), i, partners)
        cv2.split(canvas, list(planes))
        height, width = self.index.sizes[i].tolist()
        proposals = objects.proposals
        return Target(
            boxes=torch.from_numpy(objects.boxes),
            labels=torch.from_numpy(objects.labels),
            crowd=torch.from_numpy(objects.crowd),
            area=torch.from_numpy(objects.area),
            image_id=self.index.image_id(i),
            original_size=(height, width),
            transform=torch.from_numpy(matrix.astype(np.float32)),
            proposals=None if proposals is None else torch.from_numpy(proposals[: self.max_proposals]),
        )

    def _whole(self, i: int) -> tuple[np.ndarray, CanvasObjects, np.ndarray]:
        canvas, matrix = fit_square(self._image(i), self.size, self.resize, self._canvases[0])
        matrix = matrix @ self._loading_matrix(i)
        return canvas, self._objects([i], [matrix]), matrix

    def _augmented(
        self, rng: np.random.Generator, i: int, partners: np.ndarray | None
    ) -> tuple[np.ndarray, CanvasObjects, np.ndarray]:
        """Image `i` as training sees it, mixed with none but `partners`, int64 [G]; None where nothing is mixed."""
        augment = self.augment
        assert augment is not None
        canvas, other, scratch = self._canvases
        objects, matrix = self._scene(canvas, rng, augment, i, partners)
        for probability, mix in ((augment.mixup, mix_up), (augment.cutmix, cut_mix)):
            if partners is not None and probability and rng.random() < probability:
                # Another image: mixed with itself it would be the same picture with boxes twice or cut in two.
                for j in _others(rng, i, partners, 1):
                    other_objects, _ = self._scene(other, rng, augment, j, partners)
                    objects = mix(rng, canvas, objects, other, other_objects)
        if augment.erasing and rng.random() < augment.erasing:
            objects = erase(rng, canvas, objects)
        canvas = jitter_colour(rng, augment, canvas, scratch)
        for probability, fault in self.camera_faults:
            if rng.random() < probability:
                canvas, objects = fault(rng, canvas, objects)
        for transform in self.last:
            canvas, objects = transform(rng, canvas, objects)
        return canvas, objects, matrix

    def _scene(
        self, canvas: np.ndarray, rng: np.random.Generator, augment: Augment, i: int, partners: np.ndarray | None
    ) -> tuple[CanvasObjects, np.ndarray]:
        """Image `i` alone or in a mosaic drawn onto the canvas: the objects seen there, and the map of image `i`."""
        members, centre = [i], None
        if partners is not None and augment.mosaic and rng.random() < augment.mosaic:
            distinct = [i, *_others(rng, i, partners, len(QUADRANTS) - 1)]
            members = rng.permutation(np.resize(distinct, len(QUADRANTS))).tolist()
            centre = random_centre(rng, self.size)
        view = random_view(rng, augment, self.size)

        canvas.fill(GREY)
        matrices = []
        for quadrant, member in enumerate(members):
            image = self._image(member)
            height, width = image.shape[:2]
            placement = self._fitted(random_orientation(rng, augment, width, height), width, height)
            if centre is not None:
                placement = tile_placement(quadrant, centre, placement, width, height) @ placement
            matrices.append(draw(canvas, image, view @ placement) @ self._loading_matrix(member))
        objects = self._objects(members, matrices).inside((0, 0, self.size, self.size))
        return objects, matrices[members.index(i)]

    def _fitted(self, orientation: np.ndarray, width: int, height: int) -> np.ndarray:
        """The image, mirrored and turned about its centre, at the size at which evaluation shows it."""
        seen_width, seen_height = hull_size(orientation, width, height)
        if self.resize == "stretch":
            return scaling(self.size / seen_width, self.size / seen_height) @ orientation
        fit = self.size / max(seen_width, seen_height)
        return scaling(fit, fit) @ orientation

    def _loading_matrix(self, i: int) -> np.ndarray:
        return scaling(*loaded_size(self.index, i, self.limit).scale)

    def _objects(self, members: list[int], matrices: list[np.ndarray]) -> CanvasObjects:
        """Copies of the objects of some images and their proposals, mapped from original pixels by a matrix an image."""
        index = self.index
        rows = [slice(int(index.offsets[i]), int(index.offsets[i + 1])) for i in members]
        maps = np.repeat(matrices, [one.stop - one.start for one in rows], axis=0)
        proposals = None
        if self.proposals is not None:
            parts = [transform_boxes(self.proposals(i), matrix) for i, matrix in zip(members, matrices, strict=True)]
            proposals = best_first(parts)
        return CanvasObjects(
            transform_boxes(np.concatenate([index.boxes[one] for one in rows]), maps),
            np.concatenate([index.labels[one] for one in rows]),
            np.concatenate([index.crowd[one] for one in rows]),
            np.concatenate([index.area[one] for one in rows]),
            proposals,
        )


def _others(rng: np.random.Generator, i: int, images: np.ndarray, count: int) -> list[int]:
    """`count` different ones of `images`, int64 [G], without image `i`; fewer where there are not so many."""
    drawn = images[rng.choice(len(images), min(count + 1, len(images)), replace=False)]
    return drawn[drawn != i][:count].tolist()


def training_samples(index: Index, image_size: int, augment: Augment, seed: int, count: int) -> Batch:
    """At most `count` images, chosen by `seed` alone and in the index's order, augmented as in the first epoch.

    Raises:
        UserError: an image cannot be read, an augmentation does not exist or a value of it is out of its range.
    """
    # as if the training were long: the last epochs, in which mosaic is off, are not what is asked for
    epochs = 1 + augment.mixing_off_epochs
    dataset = DetectionDataset(index, image_size, augment, seed, epochs)
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:count]
    return dataset.__getitems__([(0, i) for i in sorted(chosen.tolist())])
