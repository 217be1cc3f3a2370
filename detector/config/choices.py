"""From the names of choices to their options, as a notebook gives them: the same YAML files as on the command line, without
Hydra."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from detector.build_detector import DetectorOptions
from detector.command_line import CONFIGS, choices
from detector.config.commands import Experiment
from detector.config.groups import GROUPS, schema
from detector.config.plugins import base_of, register
from detector.errors import UserError, shown
from detector.models import ModelOptions
from detector.option_check import check
from detector.options import PARTS


def choose(group: str, choice: Any = None) -> Any:
    """The options of a choice.

    Args:
        group: backbone, loss, data, ...
        choice: a name as on the command line (`resnet18`), or the options themselves (`ResNetOptions(depth=18)`), whose class
            may be the user's own; by default what the command line chooses by default.

    Raises:
        UserError: there is no such choice, or it is of another group.
    """
    if choice is None:
        choice = default_choice(group)
    if isinstance(choice, str):
        return _named(group, choice)
    if not isinstance(choice, base_of(group)):
        raise UserError(
            f"{group}={shown(choice)}: the name of a choice ({choices(group)}) or {base_of(group).__name__} are expected"
        )
    register(group, type(choice))
    return choice


def choose_detector(
    model: str | ModelOptions | None = None, image_size: int = Experiment.image_size, **parts: Any
) -> DetectorOptions:
    """A whole detector, with the default choice of every part that the model has and that is not given.

    Raises:
        UserError: as `choose`, or a value cannot be.
    """
    chosen: ModelOptions = choose("model", model)
    options = {
        group: choose(group, parts.get(group))
        for group in PARTS
        if parts.get(group) is not None or group in chosen.parts
    }
    whole = DetectorOptions(chosen, **options, image_size=image_size)
    check(whole)
    return whole


def default_choice(group: str) -> str:
    """What `configs/train.yaml` chooses of a group."""
    return next(
        entry[group] for entry in _content("train.yaml")["defaults"] if isinstance(entry, dict) and group in entry
    )


def _named(group: str, name: str) -> Any:
    """The options that `configs/GROUP/NAME.yaml` describes, or those of a plugin's choice."""
    if not (CONFIGS / group / f"{name}.yaml").is_file():
        if name in [getattr(cls, "name", None) for cls in GROUPS[group]]:
            return schema(group, name)()
        raise UserError(f"{group}={shown(name)}: choose one of {choices(group)}")
    content = dict(_content(f"{group}/{name}.yaml"))
    entries = [one for one in content.pop("defaults") if isinstance(one, str)]
    follows = next(one for one in entries if one.startswith(f"/schema/{group}/"))
    values = content.get(group, {}) if follows.endswith(f"@{group}") else content
    return schema(group, follows.removeprefix(f"/schema/{group}/").split("@")[0])(**values)


@cache
def _content(file: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((CONFIGS / file).read_text(encoding="utf-8"))
    return content
