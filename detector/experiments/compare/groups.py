"""Runs that differ only by chance, and labels that distinguish one group of them from another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from detector import config
from detector.command_line import CONFIGS, quoted
from detector.experiments.compare.runs import Run

PLACE_AND_CHANCE = ("seed", "name", "runs", "resume", "plugins", "logger", "callbacks")
"""What makes no other experiment: the seed, where the run folder lies, and what only watches."""
LONGEST_LABEL = 3
"""Overrides that a table or a figure can show of a group."""


@dataclass(frozen=True)
class Group:
    """Runs of one configuration."""

    label: str
    """The overrides in which this group differs from others: `loss=giou head.bins=0`."""
    runs: tuple[Run, ...]


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Runs whose configurations differ in nothing but `PLACE_AND_CHANCE`, in the order of their first runs."""
    grouped: dict[str, list[Run]] = {}
    for run in runs:
        settings = {key: value for key, value in asdict(run.config).items() if key not in PLACE_AND_CHANCE}
        grouped.setdefault(json.dumps(settings, sort_keys=True), []).append(run)
    groups = [sorted(members, key=lambda run: run.config.seed) for members in grouped.values()]
    labels = label_configs([members[0].config for members in groups])
    return [Group(label, tuple(members)) for label, members in zip(labels, groups, strict=True)]


def label_by_difference(reference: Group, groups: Sequence[Group]) -> list[Group]:
    """Labels the groups by their differences from the reference alone: for labels of more than `LONGEST_LABEL` overrides.

    The reference is called by its own values of the keys that name the others, or `reference` where those are many.
    """
    own = reference.label.split()
    labels = [" ".join(w for w in group.label.split() if w not in own) for group in groups]
    keys = {word.split("=")[0] for label in labels for word in label.split()}
    telling = [word for word in own if word.split("=")[0] in keys]
    name = " ".join(telling) if 0 < len(telling) <= LONGEST_LABEL else "reference"
    return [
        replace(group, label=name if group is reference else label) for group, label in zip(groups, labels, strict=True)
    ]


def label_configs(settings: Sequence[config.Train]) -> list[str]:
    """For each configuration the overrides of the command line that tell it from the others; of one alone its name.

    A part that differs in its choice is named by the YAML file that comes nearest (`backbone=resnet18`); of its other
    values those are added in which it differs from that file and from another of the configurations.
    """
    if len(settings) == 1:
        return [settings[0].name]
    described = [_describe(one) for one in settings]
    named = {key for _, deviations in described for key in deviations}
    labels = []
    for values, _ in described:
        words = [
            f"{key}={_word(value)}"
            for key, value in values.items()
            if ("." not in key or key in named) and _differs(key, [others for others, _ in described])
        ]
        labels.append(" ".join(words))
    return labels


def _differs(key: str, described: Sequence[dict[str, Any]]) -> bool:
    """Whether the configurations have different values for a key, or not all have it."""
    found = [values[key] for values in described if key in values]
    return len(found) < len(described) or any(value != found[0] for value in found)


def _describe(settings: config.Train) -> tuple[dict[str, Any], dict[str, Any]]:
    """All values by override key, a part's choice under the key of its group; and those that a choice's file has not."""
    values: dict[str, Any] = {}
    deviations: dict[str, Any] = {}
    for key, value in asdict(settings).items():
        if key in PLACE_AND_CHANCE or (key in config.GROUPS and value is None):
            continue
        if key not in config.GROUPS:
            values[key] = value
            continue
        values[key], chosen = _nearest_choice(key, value)
        for option in (option for option in value if option != "name"):
            values[f"{key}.{option}"] = value[option]
            if value[option] != chosen.get(option):
                deviations[f"{key}.{option}"] = value[option]
    return values, deviations


def _nearest_choice(group: str, part: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The YAML file of a group that differs in the fewest values from a part, and its values."""
    one_schema = len(config.GROUPS[group]) == 1
    choices = {k: v for k, v in _choices(group).items() if one_schema or v["name"] == part["name"]}
    if not choices:
        return part.get("name", ""), {}

    def distance(stem: str) -> tuple[int, bool, str]:
        return sum(choices[stem][key] != value for key, value in part.items()), stem != part.get("name"), stem

    nearest = min(choices, key=distance)
    return nearest, choices[nearest]


@cache
def _choices(group: str) -> dict[str, dict[str, Any]]:
    return {file.stem: _values(file) for file in sorted((CONFIGS / group).glob("*.yaml"))}


def _values(file: Path) -> dict[str, Any]:
    """What a YAML file of a group composes to: its schema's defaults, then its own values."""
    own: Any = OmegaConf.to_container(OmegaConf.load(file))
    values: dict[str, Any] = {}
    for default in own.pop("defaults"):
        if isinstance(default, dict):
            continue  # what the choice says of another group
        if default == "_self_":
            values |= own
        elif default.startswith("/schema/"):
            _, _, group, name = default.split("@")[0].split("/")
            values |= asdict(config.schema(group, name)())
        else:
            values |= _values(file.with_name(f"{default}.yaml"))
    return values


def _word(value: Any) -> str:
    """A value as an override has it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return quoted(value)
        case list():
            return f"[{','.join(map(_word, value))}]"
        case dict():
            return f"{{{','.join(f'{key}:{_word(one)}' for key, one in value.items())}}}"
        case _:
            return str(value)
