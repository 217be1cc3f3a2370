"""The YAML files of `configs` and the dataclasses of `detector.config`: how Hydra knows them, what it composes as an object."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from detector import config
from detector.cli.choices import absent_groups
from detector.cli.commands import COMMANDS
from detector.command_line import CONFIGS, PLUGIN_PARTS, choices
from detector.errors import UserError
from detector.options import PARTS


def register_schemas() -> None:
    """Makes the dataclasses of `detector.config` known to Hydra, as `/schema/GROUP: NAME`."""
    _register(tuple(config.GROUPS.items()), tuple(PLUGIN_PARTS))


@cache
def _register(groups: tuple[tuple[str, tuple[type, ...]], ...], brought: tuple[tuple[str, Any], ...]) -> None:
    store = ConfigStore.instance()
    for group, classes in groups:
        for cls in classes:
            store.store(group=f"schema/{group}", name=config.schema_name(group, cls), node=cls)
    for group, cls in brought:  # a choice without a YAML file
        if group != "model":
            store.store(group=group, name=cls.name, node=cls)
            continue
        without = [{f"override /{part}": None} for part in PARTS if part not in cls.parts]
        node = {"defaults": [f"/schema/model/{cls.name}@model", *without, "_self_"]}
        store.store(group=group, name=cls.name, package="_global_", node=node)
    for command in COMMANDS.values():
        store.store(group="schema", name=command.name, node=getattr(config, command.options))


def to_object(composed: DictConfig) -> Any:
    """The dataclass object of a composed configuration; what cannot be is a UserError.

    That is a value that must be given and is not, a key that does not exist, and every value out of its range.
    """
    absent = OmegaConf.missing_keys(composed)
    for missing in sorted(absent):
        group = missing.split(".")[0]
        if f"{group}.name" in absent and "model" not in absent:
            raise UserError(f"{group}: something sets a key of it, but model={composed.model.name} has no {group}")
        known = f": choose one of {choices(missing)}" if missing in config.GROUPS else ""
        raise UserError(f"{missing}=... must be given{known}")
    result = OmegaConf.to_object(composed)
    _refuse_added_keys(composed, result, "")
    config.check(result)
    return result


def complete_data(settings: Any) -> list[str]:
    """Puts into the settings of a command what the folder of its data shows: the format, the files of the splits.

    Returns:
        A line that says what was found, if something was.
    """
    data = getattr(settings, "data", None)
    if data is None:
        return []
    from detector.data.formats.layout import (
        complete,  # here, because it imports torch: a misspelt key is answered without
    )

    settings.data, found = complete(data)
    return [found] if found else []


def leave_out_absent_parts(composed: DictConfig, hydra_config: Any) -> list[str]:
    """What a recipe says of a part that the model does without, so that any model can follow any recipe.

    Where something else says it too, a freebie or the command line, it stays, and `to_object` refuses it.

    Args:
        composed: the configuration, from which it is left out.
        hydra_config: the `hydra` part of the same composition.

    Returns:
        A line for each part of which something was left out.
    """
    chosen = hydra_config.runtime.choices
    recipe = chosen.get("experiment")
    if not recipe or chosen.get("freebie"):
        return []
    lines = []
    keys: Any = OmegaConf.load(CONFIGS / "experiment" / f"{recipe}.yaml")
    for group in sorted(absent_groups(chosen["model"])):
        if group not in keys or any(
            override.startswith((f"{group}.", f"{group}=")) for override in hydra_config.overrides.task
        ):
            continue
        composed[group] = None
        left_out = ", ".join(f"{group}.{key}" for key in keys[group])
        lines.append(f"left out of experiment={recipe}: {left_out}; model={chosen['model']} has no {group}")
    return lines


def _refuse_added_keys(composed: DictConfig, result: Any, prefix: str) -> None:
    """`+key=value` adds a key that no dataclass has; nobody would read it."""
    for key in map(str, composed):
        if key not in (fields := [field.name for field in dataclasses.fields(result)]):
            raise UserError(f"{prefix}{key}: no such key; there are {', '.join(sorted(fields))}")
        if dataclasses.is_dataclass(value := getattr(result, key)):
            _refuse_added_keys(composed[key], value, f"{prefix}{key}.")
