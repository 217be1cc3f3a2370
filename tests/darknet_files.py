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

FIVE = SMALL.replace("filters=14", "filters=20").replace("filters=7", "filters=10").replace("classes=2", "classes=5")
"""The same network for the five classes of the drawn scenes."""
FIVE_SHAPES = [*SMALL_SHAPES[:2], (12, 20, 1, False), (20, 10, 1, False)]


def learner(size: int) -> str:
    """A network for the drawn scenes that is large enough to overfit a few: maps of stride 8 and 16."""

    def convolution(filters: int, kernel: int, stride: int = 1) -> str:
        return (
            f"[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize={kernel}\nstride={stride}\npad=1\n"
            "activation=leaky\n"
        )

    def prediction(mask: str) -> str:
        return (
            "[convolutional]\nfilters=30\nactivation=linear\n"
            f"[yolo]\nmask={mask}\nclasses=5\nnum=6\nanchors=8,8, 14,14, 22,22, 30,30, 45,45, 70,70\nscale_x_y=1.1\n"
        )

    residual = convolution(32, 1) + convolution(64, 3) + "[shortcut]\nfrom=-3\nactivation=linear\n"
    return (
        f"[net]\nwidth={size}\nheight={size}\n"
        + convolution(16, 3, stride=2)
        + convolution(32, 3, stride=2)
        + convolution(64, 3, stride=2)
        + residual  # layers 3 to 5
        + convolution(128, 3, stride=2)
        + convolution(64, 1)
        + convolution(128, 3)
        + prediction("3,4,5")  # layers 9, 10
        + "[route]\nlayers=-4\n[upsample]\nstride=2\n[route]\nlayers=-1,5\n"
        + convolution(64, 3)
        + prediction("0,1,2")
    )


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
