"""What the options of a part are made of: dataclass fields with the values that each may have written beside its type.

`ema: Annotated[float, Range(0, 1)]` is such a field. `detector.option_check` compares a configuration with these conditions;
here are the conditions themselves and names for those that many fields share.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any, Protocol

MISSING: Any = "???"
"""OmegaConf's mark for a value that must be given."""


def arguments(options: Any, *left_out: str) -> dict[str, Any]:
    """The fields of an options object by name, without `name` and those left out: arguments of the module that it builds."""
    return {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(options)
        if field.name not in ("name", *left_out)
    }


PARTS = ("backbone", "neck", "head", "assigner", "loss")
"""The groups of parts that a detector may be made of; each kind names those that it needs."""


class Condition(Protocol):
    """A condition on a value that already has the right type; as text, what would be right."""

    def holds(self, value: Any) -> bool:
        """Whether the value fulfils it."""


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`; both ends belong to it unless `above` or `below` leaves one out."""

    low: float
    high: float
    above: bool = False
    """`low` itself is too small."""
    below: bool = False
    """`high` itself is too large."""
    step: int = 1
    """A whole number must be a multiple of this."""

    def holds(self, value: Any) -> bool:
        """Whether the number lies inside; NaN lies nowhere."""
        low = value > self.low if self.above else value >= self.low
        high = value < self.high if self.below else value <= self.high
        return low and high and (self.step == 1 or value % self.step == 0)

    def __str__(self) -> str:
        low = f"above {self.low:,g}" if self.above else f"from {self.low:,.15g}"
        high = f"up to, not including, {self.high:,g}" if self.below else f"to {self.high:,.15g}"
        multiple = f"a multiple of {self.step} " if self.step != 1 else ""
        return f"{multiple}{low} {high}"


@dataclass(frozen=True)
class AllOr:
    """One number, such as −1, that means something of its own, or what `otherwise` says."""

    value: int
    meaning: str
    otherwise: Range

    def holds(self, value: Any) -> bool:
        """Whether it is the one or among the others."""
        return bool(value == self.value) or self.otherwise.holds(value)

    def __str__(self) -> str:
        return f"{self.otherwise}, or {self.value} for {self.meaning}"


class OneOf:
    """One of a few words or numbers."""

    def __init__(self, *choices: str | int) -> None:
        self.choices = choices

    def holds(self, value: Any) -> bool:
        """Whether it is one of them."""
        return value in self.choices

    def __str__(self) -> str:
        return f"choose one of {', '.join(map(str, self.choices))}"


@dataclass(frozen=True)
class Length:
    """A list of so many values."""

    least: int
    most: int

    def holds(self, value: Any) -> bool:
        """Whether the list is as long."""
        return self.least <= len(value) <= self.most

    def __str__(self) -> str:
        if self.least == self.most:
            return f"exactly {self.least} values"
        return f"{self.least} to {self.most:,} values"


@dataclass(frozen=True)
class Pattern:
    """Text that a regular expression matches as a whole."""

    expression: str
    meaning: str

    def holds(self, value: Any) -> bool:
        """Whether it does."""
        return re.fullmatch(self.expression, value) is not None

    def __str__(self) -> str:
        return self.meaning


class RunName:
    """A name of folders below another folder, as `bccd` or `bccd/small`: never one that leads out of it."""

    def holds(self, value: Any) -> bool:
        """Whether it stays inside and no part is longer than file systems allow."""
        path = PurePath(value)
        parts = value.replace("\\", "/").split("/")
        return not path.is_absolute() and all(
            part not in ("", ".", "..") and len(part.encode()) <= LONGEST_NAME for part in parts
        )

    def __str__(self) -> str:
        return f"a name of at most {LONGEST_NAME} bytes that is no path to elsewhere"


LONGEST_NAME = 200
"""Bytes of a folder's name: file systems allow 255, and what is written beside it needs a few."""


class Lines:
    """Text that may have several lines, such as the content of a file."""

    def holds(self, value: Any) -> bool:
        """Always: the checker itself looks at other texts more strictly."""
        return True

    def __str__(self) -> str:
        return "text"


class OrAbsent:
    """A part that only some configurations do without, although its type asks for it."""

    def holds(self, value: Any) -> bool:
        """Always: the checker looks for this one before the type."""
        return True

    def __str__(self) -> str:
        return "or null"


Probability = Annotated[float, Range(0, 1)]
Share = Annotated[float, Range(0, 1)]
PositiveShare = Annotated[float, Range(0, 1, above=True)]
ShareBelowOne = Annotated[float, Range(0, 1, below=True)]
InnerShare = Annotated[float, Range(0, 1, above=True, below=True)]
IoU = Annotated[float, Range(0, 1)]
Weight = Annotated[float, Range(0, 1e6)]
"""A factor of a loss; 0 leaves the loss out."""
Exponent = Annotated[float, Range(0, 100)]
Multiple = Annotated[float, Range(0.01, 8)]
"""A number by which the widths or depths of a published network are multiplied."""
Count = Annotated[int, Range(1, 1_000_000)]
CountOrNone = Annotated[int, Range(0, 1_000_000)]
Channels = Annotated[int, Range(1, 16_384)]
BatchSize = Annotated[int, Range(1, 65_536)]
ImageSize = Annotated[int, Range(32, 16_384, step=32)]
"""Pixels; 32 is the largest stride that every model has."""
Megabytes = Annotated[float, Range(0, 1000)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
FiniteNumber = Annotated[float, Range(-math.inf, math.inf, above=True, below=True)]

Activation = Annotated[str, OneOf("relu", "leaky_relu", "elu", "gelu", "silu", "mish", "none")]
Norm = Annotated[str, OneOf("batch", "group", "none")]
Initialisation = Annotated[str, OneOf("kaiming", "xavier")]
SuppressionKind = Annotated[str, OneOf("greedy", "class_agnostic", "soft", "diou")]
"""The kind of non-maximum suppression; see `detector.nms.NMS`."""
RegionBoxLossKind = Annotated[str, OneOf("smooth_l1", "l1", "iou", "giou", "diou", "ciou")]
Device = Annotated[str, OneOf("auto", "cpu", "gpu")]
EvaluationEngine = Annotated[str, OneOf("ultrafast", "pycocotools")]
"""What computes COCO's numbers; see `detector.evaluation.coco`."""
Split = Annotated[str, OneOf("train", "val", "test")]
