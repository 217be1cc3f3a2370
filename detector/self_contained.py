"""A configuration that has the words of the files that it names."""

from __future__ import annotations

from dataclasses import replace

from detector import config
from detector.darknet.cfg import read_text


def self_contained(train: config.Train) -> config.Train:
    """The same configuration with what follows from the files that it names, so that a checkpoint needs none of them.

    That is the text of a Darknet `.cfg`, and RGB in 0..1 where the backbone's weights are Darknet's, unless a mean was given.
    """
    model = train.model
    if isinstance(model, config.Darknet) and model.cfg_text is None:
        model = replace(model, cfg_text=read_text(model.cfg))
    if isinstance(train.backbone, config.Darknet53) and train.backbone.weights and model.mean == config.Model().mean:
        model = replace(model, mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0])
    return replace(train, model=model)
