"""A configuration that has the words of the files that it names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from detector import config
from detector.build_detector import DetectorOptions
from detector.darknet.cfg import parse, read_text
from detector.errors import options_of

Described = TypeVar("Described", config.Train, DetectorOptions)


def resolve_files(train: Described) -> Described:
    """The same configuration with what follows from the files that it names, so that a checkpoint needs none of them.

    That is the text of a Darknet `.cfg`, whether its images are stretched, and RGB in 0..1 where the backbone's weights
    are Darknet's, unless a mean was given.
    """
    model = train.model
    if isinstance(model, config.DarknetOptions) and model.cfg_text is None:
        with options_of("model"):
            model = replace(model, cfg_text=read_text(model.cfg))
    model = replace(model, resize=resize_of(model))
    backbone = train.backbone
    if isinstance(backbone, config.DarknetCfgOptions) and backbone.cfg_text is None:
        with options_of("backbone"):
            backbone = replace(backbone, cfg_text=read_text(backbone.cfg))
    weights = backbone.weights if isinstance(backbone, config.Darknet53Options | config.DarknetCfgOptions) else None
    if weights and model.mean == config.ModelOptions().mean:
        model = replace(model, mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0])
    return replace(train, model=model, backbone=backbone)


def resize_of(model: config.ModelOptions) -> str:
    """letterbox or stretch: how images become the square that a model sees (see `config.ModelOptions.resize`).

    Darknet stretches an image unless its `.cfg` says letter_box=1.
    """
    if not isinstance(model, config.DarknetOptions) or model.resize != "cfg":
        return model.resize
    with options_of("model"):
        text = read_text(model.cfg) if model.cfg_text is None else model.cfg_text
    net = parse(text, Path(model.cfg).name)[0]
    return "letterbox" if net.integer("letter_box", 0) else "stretch"
