"""The choices of each config group, as the folders of the parts list them."""

from __future__ import annotations

from detector.assigners import ASSIGNERS
from detector.backbones import BACKBONES
from detector.command_line import PLUGIN_PARTS
from detector.config.training import Callbacks, Csv, MLflow, TensorBoard, Trainer, Wandb
from detector.data.options import Augment, Auto, Coco, Shapes, Voc, Yolo
from detector.heads import HEADS
from detector.losses import LOSSES
from detector.models import MODELS
from detector.necks import NECKS
from detector.optimizers import OPTIMIZERS
from detector.options import MISSING

GROUPS: dict[str, tuple[type, ...]] = {
    "data": (Auto, Coco, Voc, Yolo, Shapes),
    "augment": (Augment,),
    "model": MODELS,
    "backbone": BACKBONES,
    "neck": NECKS,
    "head": HEADS,
    "assigner": ASSIGNERS,
    "loss": LOSSES,
    "optim": OPTIMIZERS,
    "trainer": (Trainer,),
    "logger": (Csv, TensorBoard, Wandb, MLflow),
    "callbacks": (Callbacks,),
}
"""The schemas of each group, to which plugins add theirs. Where there are several, a choice's `name` says which one it
follows; a first one without a name of its own is that of every other choice."""


def schema(group: str, name: str) -> type:
    """The dataclass that a choice of `group` called `name` follows; KeyError if there is none."""
    classes = GROUPS[group]
    by_name = {schema_name(group, cls): cls for cls in classes}
    own = [cls for cls in classes if (group, cls) not in PLUGIN_PARTS]
    if name not in by_name and (len(own) == 1 or group in by_name):
        return classes[0]
    return by_name[name]


def schema_name(group: str, cls: type) -> str:
    """The class's own `name`, or the group's where all its choices follow one schema."""
    name = getattr(cls, "name", MISSING)
    return group if name == MISSING else name
