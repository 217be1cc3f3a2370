"""What the YAML files of `configs` and the options classes say about a command's keys, read without composing anything."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import yaml

from detector.cli.commands import Command
from detector.cli.option_source import Found, Option, class_of, elements, named, options, resolve
from detector.command_line import CONFIGS, PLUGIN_PARTS
from detector.options import PARTS

SETS_OF_VALUES = ("experiment", "freebie", "sweep")
"""Groups whose files set keys of any group, and have none of their own."""


@dataclass(frozen=True)
class Keys:
    """The keys of a command before anything is chosen."""

    own: dict[str, Option]
    """The command's own keys, among them those that hold a group's."""
    groups: dict[str, str | None]
    """Each group that it lets choose, with what is chosen by default."""

    def of(self, key: str, choice: str | None) -> dict[str, Option]:
        """The keys below `key` with a choice of its group; with none those of any choice, the base class's first."""
        declared = self.own[key].cls
        assert declared is not None
        if choice is not None:
            return _with_values(options(option_class(key, choice) or declared), _values(f"{key}/{choice}.yaml"), key)
        if key not in self.groups:
            return options(declared)
        result = options(declared)
        for cls in classes(key):
            result = {**options(cls), **result}
        return result


def keys_of(command: Command) -> Keys:
    """What can be given to a command."""
    file = f"{command.name}.yaml"
    own = _with_values(options(named("detector.config", command.options)), _values(file), None)
    return Keys(own, {group: choice for group, choice in _defaults(file) if (CONFIGS / group).is_dir()})


@cache
def menus() -> dict[str, list[Found]]:
    """The option classes of each group, as `detector.config.GROUPS` has them."""
    table = named("detector.config", "GROUPS")
    assert isinstance(table.node, ast.Dict)
    entries = zip(table.node.keys, table.node.values, strict=True)
    return {ast.literal_eval(key): elements(resolve(value, table.source)) for key, value in entries if key is not None}


def classes(group: str) -> list[Found]:
    """The option classes of a group, those of plugins last."""
    return [*menus()[group], *(class_of(cls) for one, cls in PLUGIN_PARTS if one == group)]


def option_class(group: str, choice: str) -> Found | None:
    """The class that the YAML file of a choice follows, or a plugin's; None where there is no such file or it follows none."""
    for key, _ in _defaults(f"{group}/{choice}.yaml"):
        if key.startswith(f"/schema/{group}/"):
            name = key.removeprefix(f"/schema/{group}/").split("@")[0]
            return next((cls for cls in menus()[group] if _own_name(cls) == name), menus()[group][0])
    return next((class_of(cls) for one, cls in PLUGIN_PARTS if (one, cls.name) == (group, choice)), None)


def chosen_by(group: str, choice: str) -> dict[str, str | None]:
    """What the file of a choice chooses in other groups, by `override /GROUP: CHOICE`."""
    return {
        key.removeprefix("override /"): other
        for key, other in _defaults(f"{group}/{choice}.yaml")
        if key.startswith("override /")
    }


def absent_groups(model: str) -> set[str]:
    """The groups that a choice of `model` does without."""
    for group, cls in PLUGIN_PARTS:
        if (group, cls.name) == ("model", model):
            return {part for part in PARTS if part not in cls.parts}
    return {group for group, choice in chosen_by("model", model).items() if choice is None}


def summary(group: str, choice: str) -> str:
    """The first line of comment in the YAML file of a choice, or of a plugin's class."""
    file = CONFIGS / group / f"{choice}.yaml"
    if not file.is_file():
        return next((cls.__doc__ or "" for one, cls in PLUGIN_PARTS if (one, cls.name) == (group, choice)), "").strip()
    lines = file.read_text(encoding="utf-8").splitlines()
    return next((line.lstrip("# ") for line in lines if line.startswith("#") and "@package" not in line), "")


def _own_name(cls: Found) -> str | None:
    name = options(cls).get("name")
    return name.default if name else None


def _with_values(described: dict[str, Option], values: dict[str, Any], group: str | None) -> dict[str, Option]:
    """Options whose defaults are those that a YAML file sets; where it sets keys of any group, those of one."""
    values = values[group] if group is not None and isinstance(values.get(group), dict) else values
    return {
        name: replace(option, default=_written(values[name])) if name in values and not option.cls else option
        for name, option in described.items()
    }


def _written(value: Any) -> str:
    """A value as an override has it."""
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    return (
        {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)
    )


@cache
def _values(file: str) -> dict[str, Any]:
    path = CONFIGS / file
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}


@cache
def _defaults(file: str) -> list[tuple[str, str | None]]:
    """The entries of a file's defaults list, in its order."""
    entries = [one if isinstance(one, dict) else {one: None} for one in _values(file).get("defaults", [])]
    return [(str(key), choice) for entry in entries for key, choice in entry.items()]
