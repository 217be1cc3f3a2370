"""Small `.cfg` texts, and weights files for them, written number by number."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

NET = """[net]
width=64
height=64
channels=3
"""

SMALL = (
    NET
    + """
[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky

[maxpool]
size=2
stride=2

[convolutional]
batch_normalize=1
filters=12
size=3
stride=2
pad=1
activation=mish

[convolutional]
size=1
stride=1
pad=1
filters=14
activation=linear

[yolo]
mask = 1,2
anchors = 4,5, 8,9, 20,30
classes=2
num=3
scale_x_y = 1.1

[route]
layers = -3

[upsample]
stride=2

[route]
layers = -1, 1

[convolutional]
filters=7
activation=linear

[yolo]
mask = 0
anchors = 4,5, 8,9, 20,30
classes=2
num=3
"""
)
"""As YOLOv3-tiny: a pool, a map of stride 8 and, upsampled and joined with an earlier layer, one of stride 4."""

SMALL_SHAPES = [(3, 8, 3, True), (8, 12, 3, True), (12, 14, 1, False), (20, 7, 1, False)]
"""(in, out, size, batch norm) of its convolutions."""


def write_weights(
    path: Path, shapes: list[tuple[int, int, int, bool]], minor: int = 2, seed: int = 0
) -> list[dict[str, np.ndarray]]:
    """A weights file of random numbers, and what it holds of each convolution."""
    random = np.random.default_rng(seed)
    layers = []
    for inputs, outputs, size, normalised in shapes:
        layer = {"bias": random.normal(size=outputs)}
        if normalised:
            layer["scale"] = random.uniform(0.5, 1.5, outputs)
            layer["mean"] = random.normal(size=outputs)
            layer["variance"] = random.uniform(0.5, 1.5, outputs)
        layer["weight"] = random.normal(size=(outputs, inputs, size, size)) / size
        layers.append({name: values.astype("<f4") for name, values in layer.items()})
    header = struct.pack("<iii", 0, minor, 0) + struct.pack("<q" if minor >= 2 else "<i", 77)
    path.write_bytes(header + b"".join(values.tobytes() for layer in layers for values in layer.values()))
    return layers
