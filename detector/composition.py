"""The YAML files of `configs` and the dataclasses of `detector.config`: how Hydra knows them, what it composes as an object."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from detector import config
from detector.data.layout import complete
from detector.errors import UserError
from detector.models.detector import PARTS

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


def register_schemas() -> None:
    """Makes the dataclasses of `detector.config` known to Hydra, as `/schema/GROUP: NAME`."""
    store = ConfigStore.instance()
    for group, classes in config.GROUPS.items():
        for cls in classes:
            store.store(group=f"schema/{group}", name=config.schema_name(group, cls), node=cls)
    for group, cls in config.own_parts():  # a choice without a YAML file
        if group != "model":
            store.store(group=group, name=cls.name, node=cls)
            continue
        without = [{f"override /{part}": None} for part in PARTS if part not in cls.parts]
        node = {"defaults": [f"/schema/model/{cls.name}@model", *without, "_self_"]}
        store.store(group=group, name=cls.name, package="_global_", node=node)
    for name, cls in {
        "train": config.Train,
        "evaluate": config.Evaluate,
        "predict": config.Predict,
        "check_data": config.CheckData,
        "browse_data": config.BrowseData,
        "benchmark": config.Benchmark,
        "find_lr": config.FindLR,
        "inspect_model": config.InspectModel,
        "anchors": config.Anchors,
        "proposals": config.Proposals,
        "import_darknet": config.ImportDarknet,
        "compare": config.Compare,
        "diagnose": config.Diagnose,
        "seminar": config.Seminar,
    }.items():
        store.store(group="schema", name=name, node=cls)


def plugins_in(arguments: list[str]) -> list[str]:
    """The files of `plugins=[...]` on a command line: they are run before anything is composed."""
    given = [argument for argument in arguments if argument.startswith("plugins=")]
    files = OverridesParser.create().parse_override(given[-1]).value() if given else []
    if not isinstance(files, list):
        raise UserError(f"{given[-1]}: a list of files is expected: plugins=[{files}]")
    return list(map(str, files))


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
    settings.data, found = complete(data)
    return [found] if found else []


def asks_for_data(command: str) -> bool:
    """Whether a command has the group `data`."""
    defaults = OmegaConf.load(CONFIGS / f"{command}.yaml").defaults
    return any("data" in entry for entry in defaults if not isinstance(entry, str))


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


def absent_groups(model: str) -> set[str]:
    """The groups that a choice of `model` does without."""
    file = CONFIGS / "model" / f"{model}.yaml"
    defaults = OmegaConf.load(file).defaults if file.is_file() else [f"/schema/model/{model}@model"]
    found = [re.fullmatch(r"/schema/model/(\w+)@model", one) for one in defaults if isinstance(one, str)]
    schemas: dict[str, Any] = {config.schema_name("model", cls): cls for cls in config.GROUPS["model"]}
    return {
        group for one in found if one and one[1] in schemas for group in PARTS if group not in schemas[one[1]].parts
    }


def choices(group: str) -> str:
    """The names of the YAML files of a group and of the plugins' parts, separated by commas."""
    own = [cls.name for one, cls in config.own_parts() if one == group]
    return ", ".join(sorted([*(path.stem for path in (CONFIGS / group).glob("*.yaml")), *own]))


def quoted(text: str) -> str:
    """The text as a value of an override: in Hydra's quotes where it has more than letters, digits and `/._-`."""
    if re.fullmatch(r"[\w/.-]+", text):
        return text
    return '"' + re.sub(r'(\\*)"', r"\1\1\"", re.sub(r"(\\+)$", r"\1\1", text)) + '"'


def _refuse_added_keys(composed: DictConfig, result: Any, prefix: str) -> None:
    """`+key=value` adds a key that no dataclass has; nobody would read it."""
    for key in map(str, composed):
        if key not in (fields := [field.name for field in dataclasses.fields(result)]):
            raise UserError(f"{prefix}{key}: no such key; there are {', '.join(sorted(fields))}")
        if dataclasses.is_dataclass(value := getattr(result, key)):
            _refuse_added_keys(composed[key], value, f"{prefix}{key}.")
