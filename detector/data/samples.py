"""Some training images as the model sees them, to look at."""

from __future__ import annotations

import numpy as np

from detector.data.dataset import DetectionDataset
from detector.data.index import Index
from detector.data.options import Augment
from detector.types import Batch


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
