"""The schema of every YAML file: one dataclass for each choice of each config group.

The field names are the YAML keys, the defaults are the values of an empty file. The library takes these dataclasses
directly (`ResNet(depth=18)`), so a notebook needs neither YAML nor Hydra.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MISSING: Any = "???"
"""OmegaConf's mark for a value that must be given."""


# ---------------------------------------------------------------------------------------------------------------- data
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
    cache: str = "none"
    """Decoded images are kept: none | ram | disk."""


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


# ------------------------------------------------------------------------------------------------------------- augment
@dataclass
class Augment:
    """What happens to a training image, in this order. Probabilities in 0..1."""

    name: str = MISSING
    mosaic: float = 0.0
    """Probability of a mosaic of four images (Bochkovskiy et al. 2020)."""
    mosaic_off_epochs: int = 0
    """The last epochs, without mosaic."""
    mixup: float = 0.0
    """Probability of blending the image with another one (Zhang et al. 2018), boxes of both kept."""
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
    albumentations: list[Any] = field(default_factory=list)
    """Any single-image transforms of albumentations: a list of {name: ClassName, argument: value, ...}."""


# -------------------------------------------------------------------------------------------------------------- layers
@dataclass
class Backbone:
    """What every backbone has."""

    name: str = MISSING
    pretrained: bool = False
    """ImageNet weights (torchvision's); not every backbone has them."""
    frozen_stages: int = 0
    """How many stages, counted from the image, are not trained."""
    freeze_norm: bool = False
    """Batch-norm layers keep their statistics and their affine parameters."""
    activation: str = "relu"
    norm: str = "batch"
    initialisation: str = "kaiming"
    """kaiming (He et al. 2015) | xavier (Glorot & Bengio 2010); of what is not pretrained."""


@dataclass
class VGG(Backbone):
    """Simonyan & Zisserman 2015, in batch-norm form."""

    name: str = "vgg"
    depth: int = 16
    """11 | 13 | 16 | 19"""


@dataclass
class ResNet(Backbone):
    """He et al. 2016."""

    name: str = "resnet"
    depth: int = 50
    """18 | 34 | 50 | 101"""


@dataclass
class Darknet53(Backbone):
    """Redmon & Farhadi 2018, table 1."""

    name: str = "darknet53"
    activation: str = "leaky_relu"


@dataclass
class CSPDarknet(Backbone):
    """Darknet with cross-stage partial blocks (Wang et al. 2020), scaled by multiples of depth and width."""

    name: str = "csp_darknet"
    activation: str = "silu"
    depth: float = 0.33
    """Multiple of the 3, 6, 6, 3 residual blocks of the stages."""
    width: float = 0.25
    """Multiple of the 64, 128, 256, 512, 1024 channels."""


@dataclass
class Neck:
    """What every neck has."""

    name: str = MISSING
    lowest: int = 3
    """2 adds P2 (stride 4), 3 starts at P3 (stride 8)."""
    highest: int = 5
    """5 ends at P5 (stride 32), 6 adds P6 (stride 64)."""
    activation: str = MISSING
    norm: str = MISSING


@dataclass
class FPN(Neck):
    """Lin et al. 2017."""

    name: str = "fpn"
    channels: int = 256
    activation: str = "none"
    """Of the neck's convolutions. The paper has none, and no norm."""
    norm: str = "none"


@dataclass
class PAN(Neck):
    """Liu et al. 2018, with the cross-stage partial blocks of the YOLO family: top-down, then bottom-up."""

    name: str = "pan"
    activation: str = "silu"
    norm: str = "batch"
    width: float = 0.25
    """Multiple of the 256, 512, 1024 channels that P3, P4, P5 have."""
    depth: float = 0.33
    """Multiple of the 3 residual blocks of each stage."""


@dataclass
class Head:
    """What every head has."""

    name: str = MISSING
    channels: int = 0
    """Width of the head's convolutions; 0 takes the width of its first level."""
    convolutions: int = 2
    """3×3 convolutions before each prediction."""
    prior_probability: float = 0.01
    """Score that the untrained head gives everywhere (Lin et al. 2017, focal loss, section 3.3)."""
    activation: str = "silu"
    norm: str = "batch"


@dataclass
class AnchorFree(Head):
    """Decoupled head that predicts at each point the distances to the four sides (Tian et al. 2019; Ge et al. 2021)."""

    name: str = "anchor_free"
    bins: int = 16
    """Bins of the distribution over each distance, in strides (Li et al. 2020, generalized focal loss); 0: one number."""
    depthwise: bool = False
    """Depthwise-separable convolutions in the classification branch: cheaper, for slow machines."""


# ------------------------------------------------------------------------------------------------------------ training
@dataclass
class Assigner:
    """What every assigner has."""

    name: str = MISSING


@dataclass
class TaskAligned(Assigner):
    """Feng et al. 2021 (TOOD), section 3.2: alignment t = s^alpha · u^beta, the best `top` points inside each object."""

    name: str = "task_aligned"
    top: int = 13
    alpha: float = 1.0
    beta: float = 6.0


@dataclass
class Loss:
    """The box, class and distribution losses and their weights."""

    name: str = MISSING
    box: str = "ciou"
    """iou | giou | diou | ciou | l1 | l2"""
    box_weight: float = 7.5
    class_weight: float = 0.5
    distribution_weight: float = 1.5
    """Of the distribution focal loss (Li et al. 2020, eq. 6); only where the head has bins."""


@dataclass
class Model:
    """What every detector has."""

    name: str = MISSING
    mean: list[float] = field(default_factory=lambda: [0.485, 0.456, 0.406])
    std: list[float] = field(default_factory=lambda: [0.229, 0.224, 0.225])
    """Of RGB in 0..1; ImageNet's, as the pretrained backbones expect."""
    score_threshold: float = 0.001
    iou_threshold: float = 0.65
    """Suppression: of two boxes of one class with a larger IoU only the better stays."""
    candidates: int = 1000
    """Boxes an image that enter suppression."""
    max_detections: int = 100


@dataclass
class SingleShot(Model):
    """Backbone → neck → YOLO-style head."""

    name: str = "single_shot"


@dataclass
class Optim:
    """Optimizer and learning-rate schedule. Norms and biases have no weight decay."""

    name: str = MISSING
    lr: float = 0.01
    weight_decay: float = 5e-4
    momentum: float = 0.9
    """SGD's (Nesterov) momentum, AdamW's first beta."""
    warmup_epochs: float = 3.0
    """Linear warm-up from 0."""
    schedule: str = "cosine"
    """cosine | steps | constant"""
    final_lr: float = 0.01
    """Cosine's end, as a share of lr."""
    steps: list[float] = field(default_factory=lambda: [0.67, 0.89])
    """Where `steps` divides lr by 10, as shares of the training."""


@dataclass
class SGD(Optim):
    name: str = "sgd"


@dataclass
class AdamW(Optim):
    """Loshchilov & Hutter 2019."""

    name: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.05


@dataclass
class Trainer:
    """How long, on what, and how exactly."""

    epochs: int = 100
    accelerator: str = "auto"
    devices: int = 1
    """GPUs (or CPU processes) of a node; −1 takes all."""
    nodes: int = 1
    strategy: str = "auto"
    """Lightning's: auto | ddp | ..."""
    precision: str = "auto"
    """bf16 | fp16 | fp32; auto is bf16 on a GPU that has it, otherwise fp32."""
    channels_last: bool = True
    compile: bool = False
    """torch.compile of the network; needs a C++ compiler on a CPU."""
    accumulate: int = 1
    """Batches a step."""
    clip: float = 10.0
    """Largest norm of the gradient; 0 does not clip."""
    ema: float = 0.9998
    """Largest decay of the averaged weights; at step n it is min(ema, n / (n + 9)). 0: no averaging."""
    frozen_epochs: int = 0
    """The first epochs, with the whole backbone frozen; afterwards it is trained as well."""
    multi_scale: float = 0.0
    """Batches are resized to a multiple of 32 in (1 ± multi_scale) · image_size."""
    evaluate_every: int = 1
    """Epochs between two evaluations."""
    patience: int = 0
    """Stop after so many evaluations without a better AP; 0 never stops early."""
    progress: bool = True


@dataclass
class Logger:
    """Besides the CSV file that every run has."""

    name: str = MISSING
    tensorboard: bool = True


@dataclass
class Train:
    """`scripts/train.py`."""

    data: Data = MISSING
    augment: Augment = MISSING
    model: Model = MISSING
    backbone: Backbone = MISSING
    neck: Neck = MISSING
    head: Head = MISSING
    assigner: Assigner = MISSING
    loss: Loss = MISSING
    optim: Optim = MISSING
    trainer: Trainer = MISSING
    logger: Logger = MISSING
    name: str = "default"
    """Runs lie in runs/NAME/ID."""
    image_size: int = 640
    """Side of the square that the model sees, in pixels; a multiple of its largest stride."""
    runs: str = "runs"
    seed: int = 0
    resume: str | None = None
    """A run folder to go on with."""


@dataclass
class Evaluate:
    """`scripts/evaluate.py`. Exactly one of `checkpoint` and `detections` is given."""

    data: Data | None = None
    """By default what the checkpoint was trained with."""
    checkpoint: str | None = None
    detections: str | None = None
    """A COCO result file to score instead of running a model; needs `data`, of which only annotations are read."""
    split: str = "val"
    """train | val | test"""
    image_size: int | None = None
    """By default the size that the model was trained at."""
    output: str | None = None
    """Folder of the results; by default runs/evaluate/ID."""
    accelerator: str = "auto"
    """auto | cpu | gpu"""


@dataclass
class Predict:
    """`scripts/predict.py`."""

    checkpoint: str = MISSING
    source: str = MISSING
    """An image, a folder or a video."""
    output: str | None = None
    """Folder of the results; by default runs/predict/ID."""
    score: float = 0.3
    """Detections below this score are neither drawn nor written."""
    batch_size: int = 8
    image_size: int | None = None
    """By default the size that the model was trained at."""
    accelerator: str = "auto"
    """auto | cpu | gpu"""


@dataclass
class CheckData:
    """`scripts/check_data.py`."""

    data: Data = MISSING
    augment: Augment = MISSING
    image_size: int = 640
    samples: int = 16
    """Training images to draw."""
    seed: int = 0
    output: str | None = None
    """Folder of the pictures; by default runs/check_data/ID."""


GROUPS: dict[str, tuple[type, ...]] = {
    "data": (Coco, Voc, Yolo, Shapes),
    "augment": (Augment,),
    "model": (SingleShot,),
    "backbone": (VGG, ResNet, Darknet53, CSPDarknet),
    "neck": (FPN, PAN),
    "head": (AnchorFree,),
    "assigner": (TaskAligned,),
    "loss": (Loss,),
    "optim": (SGD, AdamW),
    "trainer": (Trainer,),
    "logger": (Logger,),
}
"""The schemas of each group. Where there are several, a choice's `name` says which one it follows."""


def schema(group: str, name: str) -> type:
    """The dataclass that a choice of `group` called `name` follows; KeyError if there is none."""
    classes = GROUPS[group]
    return classes[0] if len(classes) == 1 else {schema_name(group, cls): cls for cls in classes}[name]


def schema_name(group: str, cls: type) -> str:
    """The class's own `name`, or the group's where all its choices follow one schema."""
    name = getattr(cls, "name", MISSING)
    return group if name == MISSING else name


def from_dict(values: dict[str, Any]) -> Train:
    """The inverse of `dataclasses.asdict` for a `Train`; KeyError or TypeError where the values are not one."""
    parts = {
        key: schema(key, value.get("name", ""))(**value) if key in GROUPS else value for key, value in values.items()
    }
    return Train(**parts)
