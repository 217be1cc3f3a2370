"""Options of data sets, of augmentations, and of the commands that look at data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from detector.assigners.max_iou import MaxIoUAssignerOptions
from detector.options import (
    MISSING,
    BatchSize,
    Count,
    CountOrNone,
    ImageSize,
    IoU,
    OneOf,
    Probability,
    Range,
    Seed,
    Share,
    ShareBelowOne,
)
from detector.proposals.selective_search import SelectiveSearchOptions

if TYPE_CHECKING:
    import numpy as np

    from detector.data.augment.canvas_objects import CanvasObjects
    from detector.data.index import Index

    Transform = Callable[[np.random.Generator, np.ndarray, CanvasObjects], tuple[np.ndarray, CanvasObjects]]

# What reads or changes images is imported where it is used: the schema of a command must not wait for it.


@dataclass
class Data:
    """What every data set has. Paths in `train`, `val` and `test` are relative to `root`."""

    name: str = MISSING
    root: str | None = None
    """Folder of the data set."""
    train: str | None = None
    """What to train on; its form depends on the format."""
    val: str | None = None
    """What to measure on after each epoch."""
    test: str | None = None
    """What to measure on at the end, with `evaluate`; training never reads it."""
    batch_size: BatchSize = 16
    """Images a step and a process."""
    workers: Annotated[int, Range(0, 1024)] | None = None
    """Loader processes of each training process; 0 loads in the training process. By default one for each core that it may
    use (its share where several processes train on a machine, less where a container limits it) but one, at most 8; with a
    single core none, or one beside a GPU."""
    timeout: Annotated[int, Range(1, 86_400)] = 120
    """Seconds after which a loader process that gives nothing ends the run."""
    cache: Annotated[str, OneOf("none", "ram", "disk")] = "none"
    """The place where decoded images are kept."""
    proposals: str | None = None
    """Folder in which region proposals are kept, for models that need them; by default proposals/ in the cache folder."""

    def read(self, split: str, class_names: tuple[str, ...] | None = None) -> Index:
        """The images of a split and their objects, as `detector.data.index.assemble` puts them together.

        Args:
            split: train, val or test.
            class_names: the label space that must hold, such as the training split's; by default the data's own. Objects of
                other classes are left out and listed as problems of the kind "unknown class".

        Raises:
            UserError: in one line, a path or a key is wrong, or the split has no image.
        """
        raise NotImplementedError


@dataclass
class Auto(Data):
    """`root` is the folder of a COCO, VOC or YOLO data set, its `data.yaml` or its json; its files tell the format and,
    unless they are given, `train`, `val` and `test`."""

    name: str = "auto"


@dataclass
class Coco(Data):
    """`train`, `val`, `test` are COCO json files; by default those that their names or folders say."""

    name: str = "coco"
    images: str | None = None
    """Folder of the images; by default found beside the json file or under `root`, by the json's name or its file names."""

    def read(self, split: str, class_names: tuple[str, ...] | None = None) -> Index:
        """The json file of a split."""
        from detector.data.formats.coco import read_coco

        return read_coco(self, split, class_names)


@dataclass
class Voc(Data):
    """`train`, `val`, `test` are names of lists in `ImageSets/Main`, or folders that hold images and their xml files."""

    name: str = "voc"
    train: str | None = "train"
    val: str | None = "val"
    test: str | None = "test"

    def read(self, split: str, class_names: tuple[str, ...] | None = None) -> Index:
        """The xml files of a split."""
        from detector.data.formats.voc import read_voc

        return read_voc(self, split, class_names)


@dataclass
class Yolo(Data):
    """`root` holds a `data.yaml`; `train`, `val`, `test` are image folders (or lists) that replace the ones it names."""

    name: str = "yolo"

    def read(self, split: str, class_names: tuple[str, ...] | None = None) -> Index:
        """The label files of a split."""
        from detector.data.formats.yolo import read_yolo

        return read_yolo(self, split, class_names)


@dataclass
class Shapes(Data):
    """Scenes drawn as they are asked for: no download, the same scene for the same seed and index."""

    name: str = "shapes"
    scene_size: Annotated[int, Range(32, 16_384)] = 256
    """Side of a scene, in pixels."""
    train_images: Count = 2000
    """Scenes to train on."""
    val_images: Count = 300
    """Scenes to measure on after each epoch."""
    test_images: CountOrNone = 300
    """Scenes to measure on at the end."""
    scene_seed: Seed = 0
    """Decides what is drawn: equal seeds give equal scenes."""

    def read(self, split: str, class_names: tuple[str, ...] | None = None) -> Index:
        """The scenes of a split, which are drawn as they are asked for."""
        from detector.data.formats.shapes import read_shapes

        return read_shapes(self, split, class_names)


@dataclass
class Augment:
    """What happens to a training image; probabilities in 0..1, of independent draws.

    The order: flips, turns, mosaic and view; then mixup, cutmix, erasing, colour, blur, noise, albumentations.
    """

    name: str = MISSING
    mosaic: Probability = 0.0
    """Probability of a mosaic of four images (Bochkovskiy et al. 2020)."""
    mixup: Probability = 0.0
    """Probability of blending the image with another one (Zhang et al. 2018), boxes of both kept at full weight."""
    cutmix: Probability = 0.0
    """Probability of pasting a rectangle of another image (Yun et al. 2019); boxes are what is still seen of them."""
    mixing_off_epochs: CountOrNone = 0
    """How many epochs at the end have neither mosaic nor mixup nor cutmix."""
    erasing: Probability = 0.0
    """Probability of a rectangle of random pixels (Zhong et al. 2020); boxes are what is still seen of them."""
    flip_horizontal: Probability = 0.0
    """Probability of swapping left and right."""
    flip_vertical: Probability = 0.0
    """Probability of swapping top and bottom."""
    rotate90: Probability = 0.0
    """Probability of a turn by 90, 180 or 270 degrees: for pictures that have no up and down."""
    degrees: Annotated[float, Range(0, 180)] = 0.0
    """Rotation drawn from −degrees..degrees."""
    translate: Share = 0.0
    """Shift drawn from −translate..translate, as a share of the image's side."""
    scale: ShareBelowOne = 0.0
    """Zoom drawn from 1−scale..1+scale."""
    shear: Annotated[float, Range(0, 45)] = 0.0
    """Shear drawn from −shear..shear degrees, per axis."""
    hue: Share = 0.0
    """Turn of the hue drawn from −hue..hue (1 = the half circle)."""
    saturation: Share = 0.0
    """Factor of the saturation drawn from 1−saturation..1+saturation."""
    value: Share = 0.0
    """Factor of the brightness drawn from 1−value..1+value."""
    blur: Probability = 0.0
    """Probability of a Gaussian blur."""
    noise: Probability = 0.0
    """Probability of Gaussian noise."""
    albumentations: list[Any] = field(default_factory=list)
    """Any single-image transforms of albumentations: a list of {name: ClassName, argument: value, ...}."""

    def build(self, image_size: int) -> list[Transform]:
        """What happens to a picture last, in this order; an augmentation of one's own adds to it.

        Each takes a generator, which is all that it may draw from, a picture uint8 [S, S, 3] RGB with S = `image_size`, which
        it may write to, and its objects, boxes in its pixels; and gives picture and objects back.

        Raises:
            UserError: there is no such transform of albumentations, or it has no such argument.
        """
        from detector.data.augment.albumentations import Albumentations

        return [Albumentations(self.albumentations, image_size)] if self.albumentations else []


# -------------------------------------------------------------------------------------------------------------- layers


FindingGroup = Annotated[str, OneOf("problems", "files", "objects", "leaks", "duplicates", "suspicions")]


@dataclass
class CheckData:
    """`scripts/check_data.py`."""

    data: Data = MISSING
    augment: Augment = MISSING
    image_size: ImageSize = 640
    """Side of the square that the model sees, in pixels."""
    samples: CountOrNone = 16
    """Training images to draw; 0 for none."""
    seed: Seed = 0
    """Chooses the images to draw and what the augmentation does to them."""
    output: str | None = None
    """Folder of the report and the pictures; by default runs/check_data/ID."""
    report_mb: Annotated[float, Range(0, 1000)] = 10.0
    """The most that pictures take in report.html; others are shown from their files where the page lies beside them."""
    fail_on: list[FindingGroup] = field(default_factory=list)
    """What ends the command with exit code 1, once all is written: any of problems (all of the next four), files, objects,
    leaks, duplicates, and suspicions. Nothing by default: the exit code is then 0 whatever is found."""


@dataclass
class Anchors:
    """`scripts/anchors.py`: the anchors that fit a data set."""

    data: Data = MISSING
    image_size: ImageSize = 640
    """Side of the square that the model sees, in pixels."""
    levels: Annotated[int, Range(1, 8)] = 3
    """Levels of the neck; the smallest anchors go to the lowest."""
    per_level: Annotated[int, Range(1, 64)] = 3
    """Anchors a level."""
    iou_threshold: IoU = MaxIoUAssignerOptions.iou_threshold
    """IoU above which assigner=max_iou assigns an object to an anchor of that shape."""
    seed: Seed = 0
    """Start of the random numbers of k-means."""


@dataclass
class Proposals(SelectiveSearchOptions):
    """`scripts/proposals.py`: the region proposals of a data set, for model=rcnn and model=fast_rcnn."""

    data: Data = MISSING
