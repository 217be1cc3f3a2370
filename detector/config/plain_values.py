"""A configuration from plain values, as a checkpoint and a run folder hold them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from detector.build_detector import DetectorOptions
from detector.config.commands import Evaluation, Train
from detector.config.groups import GROUPS, schema, schema_name
from detector.config.plugins import loaded
from detector.errors import UserError, shown
from detector.option_check import check


def from_dict(values: Any, where: str = "") -> Train:
    """The inverse of `dataclasses.asdict` for a `Train`; keys that are not there have their defaults.

    A plugin that the values name is never run for that: it must have been loaded (`detector.config.load_plugins`).

    Raises:
        UserError: in one line, which begins with `where`, what is no configuration in them: a key that does not exist,
            every value that cannot be (see `detector.option_check.check`), or a plugin that is not loaded.
    """
    if isinstance(values, dict):
        _require_plugins(values.get("plugins"), where)
    settings: Train = _object(Train, _with_resize(values), "", where)
    check(settings, where)
    return settings


def detector_from_dict(values: Any, where: str = "") -> DetectorOptions:
    """The inverse of `dataclasses.asdict` for the options of a detector; raises as `from_dict`."""
    options: DetectorOptions = _object(DetectorOptions, _with_resize(values), "", where)
    check(options, where)
    return options


def _with_resize(values: Any) -> Any:
    if isinstance(values, dict) and isinstance(model := values.get("model"), dict):
        return {**values, "model": {"resize": "letterbox", **model}}  # all there was before it could be chosen
    return values


def _require_plugins(files: Any, where: str) -> None:
    """Compares the names of the files alone: they may lie elsewhere now."""
    named = [file for file in files if isinstance(file, str)] if isinstance(files, list) else []
    if not {Path(file).name for file in named} <= {file.name for file in loaded()}:
        listed = ",".join(map(shown, named))
        raise UserError(f"{where}has parts of a plugin, which is run only where it is given: give plugins=[{listed}]")


def _object(cls: type, values: Any, prefix: str, where: str) -> Any:
    if not isinstance(values, dict):
        raise UserError(
            f"{where}{prefix.rstrip('.') or 'the configuration'} is {shown(values)}: keys with values are expected"
        )
    known = [one.name for one in fields(cls)]
    if unknown := [key for key in values if key not in known]:
        raise UserError(f"{where}{prefix}{shown(unknown[0])}: no such key; there are {', '.join(sorted(known))}")
    given = dict(values)
    for group in GROUPS.keys() & given.keys() if cls in (Train, DetectorOptions) else ():
        if given[group] is not None:
            given[group] = _object(_schema_of(group, given[group], where), given[group], f"{group}.", where)
    if cls is Train and "evaluation" in given:
        given["evaluation"] = _object(Evaluation, given["evaluation"], "evaluation.", where)
    return cls(**given)


def _schema_of(group: str, values: Any, where: str) -> type:
    if not isinstance(values, dict):
        return GROUPS[group][0]
    name = values.get("name")
    try:
        return schema(group, name)  # type: ignore[arg-type]
    except (KeyError, TypeError) as error:  # a list cannot be a key
        known = [schema_name(group, cls) for cls in GROUPS[group]]
        raise UserError(f"{where}{group}.name={shown(name)}: choose one of {', '.join(known)}") from error
