"""A detector from Darknet's files: backbone and head of a single-shot detector as a `.cfg` describes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from torch import nn

from detector.darknet.cfg import parse, read_text
from detector.darknet.head import DarknetHead
from detector.darknet.network import DarknetNetwork, plan_network
from detector.darknet.options import check_options
from detector.darknet.weights import layers_held, load_weights, slots
from detector.losses.criterion import Criterion
from detector.models.detector import Deviation, Mean, ModelOptions
from detector.models.single_shot import SingleShot
from detector.options import MISSING, IoU, Lines, OneOf


@dataclass
class DarknetOptions(ModelOptions):
    """The network that a Darknet `.cfg` describes (Redmon & Farhadi 2017, 2018; Bochkovskiy et al. 2020).

    It takes the place of backbone, neck and head.
    """

    parts: ClassVar[tuple[str, ...]] = ("assigner", "loss")

    name: str = "darknet"
    cfg: str = MISSING
    """The `.cfg` file of the network."""
    cfg_text: Annotated[str, Lines()] | None = None
    """What the file says; a run fills it in, so that its checkpoint needs the file no more."""
    weights: str | None = None
    """A Darknet weights file of this network, or, called NAME.conv.N, of its first N layers."""
    mean: Mean = field(default_factory=lambda: [0.0, 0.0, 0.0])
    """Mean of RGB in 0..1 that is subtracted; Darknet's networks see RGB as it is."""
    std: Deviation = field(default_factory=lambda: [1.0, 1.0, 1.0])
    """Standard deviation of RGB in 0..1 that pixels are divided by; Darknet's networks see RGB as it is."""
    resize: Annotated[str, OneOf("cfg", "letterbox", "stretch")] = "cfg"
    """How an image becomes a square; by default letterbox where the `.cfg` says letter_box=1, otherwise stretch."""
    iou_threshold: IoU = 0.45
    """IoU above which only the better of two boxes stays; not used by soft. The default is Darknet's own."""

    def build(self, *, criterion: Criterion | None, classes: int, image_size: int) -> SingleShot:
        """The detector of the `.cfg`, whose anchors are in pixels whatever the size of the image."""
        network, head = darknet(self.cfg, classes, self.cfg_text, self.weights)
        neck: Any = nn.Identity()
        return SingleShot(network, neck, head, criterion, self.build_suppression(), self.mean, self.std)


def darknet(
    cfg: str, classes: int, cfg_text: str | None = None, weights: str | None = None
) -> tuple[DarknetNetwork, DarknetHead]:
    """The network and its predictions, for `classes` classes.

    Args:
        cfg: the file.
        classes: where the file has another number, the convolutions that predict are new ones; all others are loaded.
        cfg_text: what the file says; by default it is read.
        weights: a Darknet weights file. One called NAME.conv.N holds the first N layers, as Darknet names such files; the
            other layers then keep their new weights.

    Raises:
        UserError: with file, section and line, on anything in the files that cannot be built or does not fit.
    """
    sections = parse(read_text(cfg) if cfg_text is None else cfg_text, Path(cfg).name)
    check_options(sections)
    plan = plan_network(sections)
    network, head = DarknetNetwork(plan), DarknetHead(plan, classes)
    if weights:
        load_weights(weights, slots(plan, layers_held(weights)))
    return network, head


def images_line(cfg: str, cfg_text: str, resize: str, image_size: int) -> str:
    """How images reach the network, and what becomes of a `.cfg` whose input is no square."""
    net = parse(cfg_text, Path(cfg).name)[0]
    width, height = net.integer("width", 0), net.integer("height", 0)
    how = "letterboxed" if resize == "letterbox" else "stretched"
    line = f"images: RGB in 0..1, {how} to {image_size}×{image_size} pixels"
    if width != height:
        line += f"; {Path(cfg).name} was made for {width}×{height}, and images here are square: expect other scores"
    return line


def introduction(cfg: str, cfg_text: str, weights: str | None, network: DarknetNetwork, head: DarknetHead) -> list[str]:
    """Lines that say what was built, what was loaded, and which options of the file have no meaning here."""
    sections = parse(cfg_text, Path(cfg).name)
    parts = nn.ModuleList([network, head])
    parameters = sum(parameter.numel() for parameter in parts.parameters())
    statistics = sum(buffer.numel() for name, buffer in parts.named_buffers() if "running_" in name)
    lines = [
        f"detector: {Path(cfg).name}, made for {sections[0].integer('width', 0)}×{sections[0].integer('height', 0)} pixels: "
        f"{len(sections) - 1} layers, {parameters:,} parameters "
        f"({parameters + statistics:,} with the statistics of batch norms, which Darknet counts too)"
    ]
    for section in sections[1:]:
        given, read = len(section.numbers("anchors")), 2 * section.integer("num", 1)
        if section.name in ("yolo", "region") and given > read:
            lines.append(
                f"line {section.line}: {given} numbers of anchors, num={read // 2} reads {read}, as in Darknet"
            )
    if weights:
        if anew := [str(section.line) for section in sections if section.integer("dontload", 0)]:
            lines.append(f"layers without weights in the file (dontload=1), in lines {', '.join(anew)}, are new")
        first = layers_held(weights)
        lines.append(f"weights: {weights}: " + ("all layers" if first is None else f"the first {first} layers"))
    if head.remade and weights:
        own = head.predictions[0].classes
        layers = ", ".join(sorted((one.name for one in head.predictions), key=int))
        lines.append(f"layers {layers} are new: {Path(cfg).name} predicts {own} classes, the data has {head.classes}")
    if elsewhere := check_options(sections):
        lines.append(f"options without meaning here (see optim, augment, loss, model): {', '.join(elsewhere)}")
    return lines
