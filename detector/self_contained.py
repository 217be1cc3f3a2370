"""A configuration that has the words of the files that it names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from detector import config
from detector.darknet.cfg import parse, read_text


def self_contained(train: config.Train) -> config.Train:
    """The same configuration with what follows from the files that it names, so that a checkpoint needs none of them.

    That is the text of a Darknet `.cfg`, whether its images are stretched, and RGB in 0..1 where the backbone's weights
    are Darknet's, unless a mean was given.
    """
    model = train.model
    if isinstance(model, config.Darknet) and model.cfg_text is None:
        model = replace(model, cfg_text=read_text(model.cfg))
    model = replace(model, resize=resize_of(model))
    backbone = train.backbone
    if isinstance(backbone, config.DarknetCfg) and backbone.cfg_text is None:
        backbone = replace(backbone, cfg_text=read_text(backbone.cfg, "backbone.cfg"))
    weights = backbone.weights if isinstance(backbone, config.Darknet53 | config.DarknetCfg) else None
    if weights and model.mean == config.Model().mean:
        model = replace(model, mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0])
    return replace(train, model=model, backbone=backbone)


def resize_of(model: config.Model) -> str:
    """letterbox or stretch: how images become the square that a model sees (see `config.Model.resize`).

    Darknet stretches an image unless its `.cfg` says letter_box=1.
    """
    if not isinstance(model, config.Darknet) or model.resize != "cfg":
        return model.resize
    net = parse(read_text(model.cfg) if model.cfg_text is None else model.cfg_text, Path(model.cfg).name)[0]
    return "letterbox" if net.integer("letter_box", 0) else "stretch"
