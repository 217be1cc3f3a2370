"""Schemas of `configs/data` and `configs/augment`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from detector.config.missing import MISSING


@dataclass
class Data:
    """What every data set has. Paths in `train`, `val` and `test` are relative to `root`."""

    name: str = MISSING
    root: str | None = None
    train: str | None = None
    val: str | None = None
    test: str | None = None
    batch_size: int = 16
    """Images a step and a process."""
    workers: int = 2
    """Loader processes; 0 loads in the training process."""
    timeout: int = 120
    """Seconds after which a loader process that gives nothing ends the run; 1 or more."""
    cache: str = "none"
    """Decoded images are kept: none | ram | disk."""
    proposals: str | None = None
    """Folder in which region proposals are kept, for models that need them; by default proposals/ in the cache folder."""


@dataclass
class Coco(Data):
    """`train`, `val`, `test` are COCO json files."""

    name: str = "coco"
    images: str | None = None
    """Folder of the images; by default found beside the json file or under `root`, by the json's name or its file names."""


@dataclass
class Voc(Data):
    """`train`, `val`, `test` are names of lists in `ImageSets/Main`."""

    name: str = "voc"
    train: str | None = "train"
    val: str | None = "val"
    test: str | None = "test"


@dataclass
class Yolo(Data):
    """`root` holds a `data.yaml`; `train`, `val`, `test` are image folders (or lists) that replace the ones it names."""

    name: str = "yolo"


@dataclass
class Shapes(Data):
    """Scenes drawn as they are asked for: no download, the same scene for the same seed and index."""

    name: str = "shapes"
    scene_size: int = 256
    """Side of a scene, in pixels."""
    train_images: int = 2000
    val_images: int = 300
    test_images: int = 300
    scene_seed: int = 0


@dataclass
class Augment:
    """What happens to a training image; probabilities in 0..1, of independent draws.

    The order: flips, turns, mosaic and view; then mixup, cutmix, erasing, colour, blur, noise, albumentations.
    """

    name: str = MISSING
    mosaic: float = 0.0
    """Probability of a mosaic of four images (Bochkovskiy et al. 2020)."""
    mixup: float = 0.0
    """Probability of blending the image with another one (Zhang et al. 2018), boxes of both kept at full weight."""
    cutmix: float = 0.0
    """Probability of pasting a rectangle of another image (Yun et al. 2019); boxes are what is still seen of them."""
    mixing_off_epochs: int = 0
    """The last epochs, without mosaic, mixup and cutmix."""
    erasing: float = 0.0
    """Probability of a rectangle of random pixels (Zhong et al. 2020); boxes are what is still seen of them."""
    flip_horizontal: float = 0.0
    flip_vertical: float = 0.0
    rotate90: float = 0.0
    """Probability of a turn by 90, 180 or 270 degrees: for pictures that have no up and down."""
    degrees: float = 0.0
    """Rotation drawn from −degrees..degrees."""
    translate: float = 0.0
    """Shift drawn from −translate..translate, as a share of the image's side."""
    scale: float = 0.0
    """Zoom drawn from 1−scale..1+scale."""
    shear: float = 0.0
    """Shear drawn from −shear..shear degrees, per axis."""
    hue: float = 0.0
    """Relative hue change drawn from −hue..hue (1 = the half circle); saturation and value are gains 1−x..1+x."""
    saturation: float = 0.0
    value: float = 0.0
    blur: float = 0.0
    """Probability of a Gaussian blur."""
    noise: float = 0.0
    """Probability of Gaussian noise."""
    albumentations: list[Any] = field(default_factory=list)
    """Any single-image transforms of albumentations: a list of {name: ClassName, argument: value, ...}."""


# -------------------------------------------------------------------------------------------------------------- layers
