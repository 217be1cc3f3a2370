"""A hook of mkdocs: a page for each part, made of its docstrings, its options and figures that the part itself computes.

The folders' menus say which parts there are, so that a new one has a page by being there.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from block_figures import backbone_figure, block_diagram, cost_figure, trace
from curve_figures import activation_figure, box_loss_figure, class_loss_figure, distribution_figure, schedule_figure
from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image
from scene_figures import assigner_figure, augmentation_sheet, suppression_sheet

from detector.arithmetic.model import take_ledger
from detector.cli.choices import option_class
from detector.cli.option_source import class_of, options
from detector.command_line import names
from detector.config import GROUPS
from detector.config.choices import choose, choose_detector
from detector.data.options import Augment
from detector.inspection.inspected import inspect_detector
from detector.types import FeatureInfo

HERE = Path(__file__).parent
IMAGE_SIZE = 320
"""Side of the image that costs are counted for, in pixels."""
CLASSES = 3
SECTIONS = {
    "backbone": "Backbones",
    "neck": "Necks",
    "head": "Heads",
    "assigner": "Assigners",
    "loss": "Losses",
    "model": "Models",
    "augment": "Augmentation",
    "optim": "Optimizers",
    "layer": "Layers and suppression",
}
CONTRACTS = {
    "backbone": "detector.backbones.backbone",
    "neck": "detector.necks.neck",
    "head": "detector.heads.head",
    "assigner": "detector.assigners.assigner",
    "model": "detector.models.detector",
}
"""What every part of a group is, by module."""

Drawn = Figure | np.ndarray


@dataclass(frozen=True)
class Picture:
    """A figure and what it shows."""

    caption: str
    draw: Callable[[], Drawn]


@dataclass(frozen=True)
class Page:
    """What stands on the page of one part."""

    group: str
    title: str
    shown: str
    """The module, or the class in it, whose docstrings it shows."""
    options: type | None = None
    """Its options, where it is chosen by a name."""
    picture: Picture | None = None
    example: str | None = None
    """Lines that the figure is drawn of."""
    formulas: str | None = None
    """A function whose docstring has them, where that is in another module."""

    @property
    def name(self) -> str:
        """The name of its file."""
        return self.shown.rsplit(".", 1)[-1].removesuffix("Options").lower()

    @property
    def path(self) -> str:
        """Its place in the site."""
        return f"parts/{self.group}/{self.name}.md"

    @property
    def choices(self) -> list[str]:
        """The names by which it is chosen."""
        if self.options is None or self.group not in GROUPS:
            return []
        follows = {one: option_class(self.group, one) for one in names(self.group)}
        return [
            one for one, found in follows.items() if found and getattr(found.node, "name", "") == self.options.__name__
        ]


def pages() -> list[Page]:
    """A page for each part of the menus, and for what they are made of."""
    found = [
        Page(group, cls.__name__.removesuffix("Options"), cls.__module__, cls, *_picture(group, cls))
        for group in ("backbone", "neck", "head", "assigner", "model")
        for cls in GROUPS[group]
    ]
    return [*found, *_losses(), *_augmentations(), *_optimizers(), *_layers()]


def _picture(group: str, cls: Any) -> tuple[Picture, str | None]:
    lines = {"darknet_cfg": "classifier.cfg", "darknet": "detector.cfg"}.get(cls.name)
    text = (HERE / lines).read_text(encoding="utf-8") if lines else None
    given: dict[str, Any] = {"cfg": lines, "cfg_text": text} if text else {}
    if cls.name == "timm":
        given = {"model": "mobilenetv3_small_050"}
    made = cls(**given)
    of = f"`model={given['model']}`" if "model" in given else "the lines below" if text else "its defaults"
    match group:
        case "backbone":
            caption = f"With {of}, an image of {IMAGE_SIZE} pixels: maps, convolutions by kernel, and what they cost."
            return Picture(caption, partial(_backbone, made)), text
        case "neck" | "head":
            caption = f"With its defaults on {'`csp_darknet_nano`' if group == 'neck' else '`pan`'}: kernel, channels, stride."
            return Picture(caption, partial(_diagram, group, made)), None
        case "assigner":
            caption = (
                "Which points it assigns to which object of a drawn scene (colour), and their weight (size), where each point "
                "predicts the object nearest to it with some error. Crosses: ignored."
            )
            return Picture(caption, partial(assigner_figure, made)), None
        case _:
            caption = f"With {of}, the default parts and an image of {IMAGE_SIZE} pixels."
            return Picture(caption, partial(_costs, made)), text


def _backbone(made: Any) -> Figure:
    with torch.device("meta"):
        backbone, images = made.build().eval(), torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE)
    return backbone_figure(take_ledger(backbone, lambda: backbone(images)), backbone.info, IMAGE_SIZE)


@cache
def features() -> FeatureInfo:
    """What the default backbone gives."""
    with torch.device("meta"):
        info: FeatureInfo = choose("backbone").build().info
    return info


def _diagram(group: str, made: Any) -> Figure:
    if group == "neck":
        return block_diagram(*trace(lambda: made.build(features()), features()))
    with torch.device("meta"):
        levels = choose("neck").build(features()).info
    return block_diagram(*trace(lambda: made.build(levels, CLASSES, IMAGE_SIZE), levels))


def _costs(made: Any) -> Figure:
    with torch.device("meta"):
        detector = choose_detector(made, IMAGE_SIZE).build(CLASSES)
    return cost_figure(inspect_detector(detector, IMAGE_SIZE))


def _losses() -> list[Page]:
    box = "A box of a fifth of the image that is moved, scaled and stretched. L1 and L2 are of coordinates as "
    return [
        Page("loss", "All losses together", "detector.losses.criterion", GROUPS["loss"][0], None),
        Page(
            "loss",
            "Box losses",
            "detector.losses.box",
            None,
            Picture(f"{box}shares of the image.", box_loss_figure),
            None,
            "detector.boxes.aligned_iou",
        ),
        Page(
            "loss",
            "Class losses",
            "detector.losses.classification",
            None,
            Picture("The loss of one logit and its derivative, with γ = 2.", class_loss_figure),
        ),
        Page(
            "loss",
            "Distribution focal loss",
            "detector.losses.distribution",
            None,
            Picture(
                "Left: the loss of a distribution over 16 bins, by its centre and width. Right: minus its gradient where all "
                "bins are equal: only the two next to the distance are raised.",
                distribution_figure,
            ),
        ),
    ]


def _augmentations() -> list[Page]:
    def alone(**values: Any) -> Augment:
        return Augment(name="shown", **values)

    shown: dict[str, tuple[str, type | None, dict[str, Augment]]] = {
        "detector.data.options.Augment": (
            "Presets",
            Augment,
            {f"augment={name}": choose("augment", name) for name in names("augment")},
        ),
        "detector.data.augment.random_views": (
            "Views and colour",
            None,
            {
                "flip_horizontal=1": alone(flip_horizontal=1.0),
                "rotate90=1": alone(rotate90=1.0),
                "degrees=30": alone(degrees=30.0),
                "translate=0.3": alone(translate=0.3),
                "scale=0.5": alone(scale=0.5),
                "shear=20": alone(shear=20.0),
                "hue, saturation, value=0.5": alone(hue=0.5, saturation=0.5, value=0.5),
            },
        ),
        "detector.data.augment.mosaic": (
            "Mosaic",
            None,
            {"mosaic=1": alone(mosaic=1.0), "mosaic=1 scale=0.5": alone(mosaic=1.0, scale=0.5)},
        ),
        "detector.data.augment.mixing": (
            "MixUp, CutMix, erasing",
            None,
            {"mixup=1": alone(mixup=1.0), "cutmix=1": alone(cutmix=1.0), "erasing=1": alone(erasing=1.0)},
        ),
        "detector.data.augment.albumentations": (
            "Blur, noise and albumentations",
            None,
            {
                "blur=1": alone(blur=1.0),
                "noise=1": alone(noise=1.0),
                "CLAHE": alone(albumentations=[{"name": "CLAHE", "p": 1.0}]),
            },
        ),
    }
    scene = "One drawn scene of the validation split, seed 3"
    certain = f"{scene}; probabilities are 1, so that there is something to see."
    return [
        Page(
            "augment", title, name, cls, Picture(f"{scene}." if cls else certain, partial(augmentation_sheet, changes))
        )
        for name, (title, cls, changes) in shown.items()
    ]


def _optimizers() -> list[Page]:
    caption = "The learning rate by schedule, with a warm-up of a thirteenth of the training."
    return [
        Page("optim", cls.__name__.removesuffix("Options"), f"{cls.__module__}.{cls.__name__}", cls,
             Picture(caption, partial(schedule_figure, cls)))
        for cls in GROUPS["optim"]
    ]  # fmt: skip


def _layers() -> list[Page]:
    kept = "Made-up predictions, and what each kind leaves of them at an IoU of 0.5 and scores above 0.1."
    activations = Picture("Each activation and its derivative.", activation_figure)
    return [
        Page("layer", "Layers", "detector.layers", None, activations),
        Page("layer", "Suppression", "detector.nms", None, Picture(kept, suppression_sheet)),
    ]


def text(page: Page) -> str:
    """A page in Markdown: how the part is chosen, its figure, its options, its docstrings."""
    lines = [f"# {page.title}", ""]
    if page.choices:
        lines += [", ".join(f"`{page.group}={one}`" for one in page.choices), ""]
    if page.picture:
        lines += [f"![{page.picture.caption}]({page.name}.{suffix(page)})", "", f"*{page.picture.caption}*", ""]
    if page.example:
        lines += ["```ini", page.example.strip(), "```", ""]
    if page.options:
        lines += ["## Options", "", *_table(page), ""]
    shown = [page.formulas, page.shown] if page.formulas else [page.shown]
    return "\n".join([*lines, "## Code", "", *(f"::: {one}\n" for one in shown)])


def _table(page: Page) -> list[str]:
    assert page.options is not None
    own = vars(page.options).get("__annotations__", {})
    lines = [f"| `{page.group}.` | values | default | |", "|---|---|---|---|"]
    for one in sorted(options(class_of(page.options)).values(), key=lambda option: option.name not in own):
        if one.name != "name":
            default = "must be given" if one.default is None else f"`{one.default}`"
            cells = (f"`{one.name}`", one.kind, default, one.sentence)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return lines


def suffix(page: Page) -> str:
    """The kind of file that its figure is."""
    return "png" if page.group == "augment" or page.shown == "detector.nms" else "svg"


def content(drawn: Drawn) -> bytes:
    """A figure as the bytes of a file, the same whenever it is drawn."""
    file = io.BytesIO()
    if isinstance(drawn, Figure):
        with rc_context({"svg.hashsalt": "detector"}):
            drawn.savefig(file, format="svg", metadata={"Date": None})
    else:
        Image.fromarray(drawn).save(file, "PNG", optimize=True)
    return file.getvalue()


def group_page(group: str) -> str:
    """The first page of a section: its parts, and what is asked of each."""
    lines = [f"# {SECTIONS[group]}", "", "| part | chosen by | |", "|---|---|---|"]
    for page in pages():
        if page.group == group:
            chosen = ", ".join(f"`{group}={one}`" for one in page.choices)
            sentence = (page.options.__doc__ or "").split("\n\n")[0] if page.options else ""
            lines.append(f"| [{page.title}]({page.name}.md) | {chosen} | {' '.join(sentence.split())} |")
    contract = [f"## What each of them is\n\n::: {CONTRACTS[group]}\n"] if group in CONTRACTS else []
    return "\n".join([*lines, "", *contract])


def on_config(config: Any) -> Any:
    """Puts the pages into the menu of the site, after the results."""
    menu = [
        {title: [{"Overview": f"parts/{group}/index.md"}, *(one.path for one in pages() if one.group == group)]}
        for group, title in SECTIONS.items()
    ]
    place = next(place for place, entry in enumerate(config["nav"]) if isinstance(entry, dict) and "Code" in entry)
    config["nav"].insert(place, {"Parts": menu})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages and their figures to the site."""
    from mkdocs.structure.files import File  # only the environment that builds the site has mkdocs

    for page in pages():
        files.append(File.generated(config, page.path, content=text(page)))
        if page.picture:
            figure = str(Path(page.path).with_suffix(f".{suffix(page)}"))
            files.append(File.generated(config, figure, content=content(page.picture.draw())))
    for group in SECTIONS:
        files.append(File.generated(config, f"parts/{group}/index.md", content=group_page(group)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """In the table of parts, a file is the way to its page."""
    if page.file.src_uri != "parts.md":
        return markdown
    of_file = {f"{one.shown.removeprefix('detector.').replace('.', '/')}.py": one.path for one in pages()}

    def linked(found: re.Match[str]) -> str:
        path = of_file.get(found[1])
        return f"[`{found[1]}`]({path})" if path else found[0]

    return re.sub(r"`(\w+/?\w*\.py)` \|$", lambda found: f"{linked(found)} |", markdown, flags=re.MULTILINE)
