"""What the command line composes, without a command line."""

from __future__ import annotations

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from detector import config
from detector.composition import CONFIGS, register_schemas, to_object


def composed(*overrides: str, name: str = "train") -> config.Train:
    register_schemas()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        result = to_object(compose(name, list(overrides)))
    assert isinstance(result, config.Train)
    return result
