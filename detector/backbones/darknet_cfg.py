"""A classifier that a Darknet `.cfg` describes, as a backbone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from torch import Tensor, nn

from detector.backbones.backbone import LEVELS, OwnLayersOptions, refuse_layers
from detector.darknet.cfg import parse, read_text
from detector.darknet.network import DarknetNetwork, Plan, plan_layers
from detector.darknet.options import CLASSIFIER, check_options
from detector.darknet.weights import layers_held, load_weights, slots
from detector.errors import OptionError, UserError
from detector.freezing import FreezableBackbone
from detector.options import MISSING, Lines, arguments


@dataclass
class DarknetCfgOptions(OwnLayersOptions):
    """A classifier that a Darknet `.cfg` describes, as darknet53.cfg or csdarknet53.cfg, without its scores."""

    name: str = "darknet_cfg"
    cfg: str = MISSING
    """The `.cfg` file of the classifier."""
    cfg_text: Annotated[str, Lines()] | None = None
    """What the file says; a run fills it in, so that its checkpoint needs the file no more."""
    weights: str | None = None
    """A Darknet weights file of the classifier, or, called NAME.conv.N, of its first N layers."""

    def build(self) -> DarknetCfg:
        """The backbone of the classifier, with the weights of the file, if one is given."""
        return DarknetCfg(**arguments(self))


class DarknetCfg(FreezableBackbone):
    """The layers of a Darknet classifier (darknet53.cfg, darknet19.cfg, csdarknet53.cfg, ...) up to its pooling.

    A level is the last output of its stride before the network goes on to the next one. What follows the features, the
    pooling of the whole map, the convolution or the shares of the classes, is left out. A stage holds the layers of one
    stride.

    Args:
        cfg: the file.
        cfg_text: what the file says; by default it is read.
        weights: a Darknet file of the whole classifier, or, called NAME.conv.N, of its first N layers.
        pretrained: raises OptionError: the weights are a file.
        frozen_stages: see `FreezableBackbone.freeze`.
        freeze_norm: see `FreezableBackbone.freeze`.
        activation: own: anything else raises OptionError, as for `norm` and `initialisation`; the file says it.
        norm: own.
        initialisation: own.

    Raises:
        UserError: with file, section and line, on anything in the files that cannot be built or does not fit.
    """

    def __init__(
        self,
        cfg: str,
        cfg_text: str | None = None,
        weights: str | None = None,
        pretrained: bool = False,
        frozen_stages: int = 0,
        freeze_norm: bool = False,
        activation: str = "own",
        norm: str = "own",
        initialisation: str = "own",
    ) -> None:
        super().__init__()
        refuse_layers(
            "with darknet_cfg: the .cfg says it", activation=activation, norm=norm, initialisation=initialisation
        )
        if pretrained:
            raise OptionError("pretrained", "give the Darknet file, weights=FILE, or false")
        sections = parse(read_text(cfg) if cfg_text is None else cfg_text, Path(cfg).name)
        check_options(sections, classifier=True)
        plan = plan_layers(sections)
        levels = _levels(plan)
        if weights:
            load_weights(weights, slots(plan, layers_held(weights)))
        self.network = DarknetNetwork(plan, levels)
        self.info = self.network.info
        self.stages: list[nn.Module] = self._stages(plan)  # not registered: each is a view of `network`
        self.freeze(frozen_stages, freeze_norm)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Normalised float images [B, 3, H, W] → {"C3": [B, c3, H/8, W/8], ...}."""
        return self.network(images)

    def _stages(self, plan: Plan) -> list[nn.Module]:
        """Layers that reach a stride before any larger one, together; pooled maps belong where they stand."""
        stages: list[nn.ModuleList] = []
        reached = 0
        for i, layer in enumerate(self.network.stages):
            stride = reached if plan.layers[i].shape[1:] == (1, 1) else plan.stride(i)
            if stride > reached or not stages:
                stages.append(nn.ModuleList())
                reached = max(stride, 2)
            stages[-1].append(layer)
        return list(stages)


def _levels(plan: Plan) -> dict[str, int]:
    """Name of each level → the layer whose output it is."""
    end = _end(plan)
    levels: dict[str, int] = {}
    reached = 1
    for i, layer in enumerate(plan.layers[:end]):
        if layer.section.name in ("yolo", "region", "upsample"):
            raise layer.section.error(f"{plan.file} is a detector; give it as model=darknet model.cfg=FILE")
        (height, width), (_, rows, columns) = plan.size, layer.shape
        if (rows, columns) == (1, 1) or height % rows or width % columns or height // rows != width // columns:
            continue  # a pooled map within a block, or one whose border was left out
        stride = height // rows
        if stride < reached:
            raise layer.section.error("gives a larger map than the layer before it; a backbone only goes down")
        reached = stride
        if stride in LEVELS:
            levels[LEVELS[stride]] = i
    if missing := [stride for stride, name in LEVELS.items() if name not in levels and name != "C2"]:
        height, width = plan.size
        raise UserError(
            f"{plan.file}: no layer has stride {', '.join(map(str, missing))} in its image of {width}×{height}; "
            "a backbone needs strides 8, 16 and 32"
        )
    return levels


def _end(plan: Plan) -> int:
    """The number of layers that give features: those before the pooling of the whole map and the scores of the classes."""
    end = len(plan.layers)
    while end and plan.layers[end - 1].section.name in (*CLASSIFIER, "avgpool", "dropout"):
        end -= 1
    scores = plan.layers[end - 1] if end else None
    if (
        scores
        and end < len(plan.layers)
        and scores.section.name == "convolutional"
        and not scores.section.integer("batch_normalize", 0)
    ):
        end -= 1
    while end and plan.layers[end - 1].section.name in ("avgpool", "dropout"):
        end -= 1
    return end
