"""The command line, compared with the keys and choices that a command has before Hydra composes anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

from detector.cli.choices import SETS_OF_VALUES, Keys, absent_groups, chosen_by, keys_of
from detector.cli.commands import Command
from detector.cli.option_source import Option
from detector.command_line import names, quoted
from detector.errors import UserError
from detector.option_check import refuse, violations_of

FOREIGN = {
    "imgsz": ("image_size",),
    "img_size": ("image_size",),
    "img": ("image_size",),
    "resolution": ("image_size",),
    "batch": ("data.batch_size", "batch_size"),
    "max_epochs": ("trainer.epochs",),
    "lr0": ("optim.lr",),
    "learning_rate": ("optim.lr",),
    "optimizer": ("optim",),
    "device": ("trainer.accelerator", "accelerator"),
    "gpus": ("trainer.devices", "accelerator"),
    "num_workers": ("data.workers",),
    "weights": ("init", "checkpoint", "model.weights"),
    "ckpt": ("init", "checkpoint"),
    "conf": ("score", "model.score_threshold"),
    "iou": ("iou_threshold", "model.iou_threshold"),
    "project": ("runs",),
    "dataset": ("data",),
}
"""Names that other detectors have for a key → the keys that do it here, of which the first that a command has is meant."""

LAUNCHERS = {
    "ray": ("hydra-ray-launcher", "hydra_plugins.hydra_ray_launcher", "ray"),
    "ray_aws": ("hydra-ray-launcher", "hydra_plugins.hydra_ray_launcher", "ray"),
    "submitit_slurm": ("hydra-submitit-launcher", "hydra_plugins.hydra_submitit_launcher", "slurm"),
    "submitit_local": ("hydra-submitit-launcher", "hydra_plugins.hydra_submitit_launcher", "slurm"),
}
"""Hydra's word for a launcher → the package that brings it, its module, and the extra of this project that asks for it."""

MOST_NAMED = 3
SWITCHES = ("-m", "--multirun", "-r", "--run", "--resolve")
"""Hydra's flags that take no value."""
OWN_FILES = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "hydra.searchpath", "plugins=")
"""Arguments that bring in choices of the user's own, which only Hydra knows."""


def checked(command: Command, arguments: list[str]) -> list[str]:
    """The arguments with those that are no overrides, as a shell's pattern gives them, in the list `command.positional`.

    Raises:
        UserError: see `check_overrides`.
    """
    if command.positional:
        arguments = _with_list(command.positional, arguments)
    if command.enumeration:
        arguments = [_as_text(command.enumeration, one) for one in arguments]
    check_overrides(command, arguments)
    return arguments


def check_overrides(command: Command, arguments: list[str]) -> None:
    """Refuses what no composition could take: keys, choices and values that cannot be, and keys of parts that a model lacks.

    Of values these are numbers and words; what else is written on a command line Hydra reads.

    Raises:
        UserError: in one line, with the key that was probably meant or those that there are.
    """
    overrides = [one for one in _overrides(arguments) if not one.startswith("hydra.")]
    keys = keys_of(command)
    own_files = any(one.startswith(OWN_FILES) for one in arguments)
    chosen: dict[str, list[str | None]] = {}
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if key in keys.groups:
            chosen[key] = _choices(override, key, value, own_files)
        elif key == "hydra/launcher":
            _check_launcher(value)
    possible = {key: _possible(key, keys, chosen) for key, option in keys.own.items() if option.cls is not None}
    known = {key: None if each is None else _together(each) for key, each in possible.items()}
    models = chosen.get("model") or []
    for override in overrides:
        if override.startswith("hydra/"):
            continue
        if "=" not in override and not override.startswith("~"):
            raise UserError(f"{override}: write KEY=VALUE; {command.name} --help lists the keys")
        group = override.lstrip("+~").partition("=")[0].split(".")[0]
        if len(models) == 1 and models[0] is not None and group in absent_groups(models[0]):
            raise UserError(f"{override}: has no meaning with model={models[0]}, which has no {group} of its own")
        _check_key(override, keys, known)
    refuse([violation for override in overrides for violation in _value_violations(override, keys, possible)])


def _with_list(key: str, arguments: list[str]) -> list[str]:
    """A path may have a `=` in its name, as the folders of sweeps do: what exists is no override."""
    listed = [one for one in arguments if not one.startswith("-") and ("=" not in one or Path(one).exists())]
    if not listed:
        return arguments
    return [
        *(one for one in arguments if one not in listed),
        f"{key}=[{','.join(map(quoted, listed))}]",
    ]


def _as_text(key: str, argument: str) -> str:
    """KEY=1,3b in quotes, where it has none."""
    name, _, value = argument.partition("=")
    return f"{key}={quoted(value)}" if name == key and "," in value and not set(value) & set("'\"") else argument


def _overrides(arguments: list[str]) -> list[str]:
    """The arguments without Hydra's own flags and what they take."""
    result = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        of_flag = before.startswith("-") and before not in SWITCHES and "=" not in before
        of_flag = of_flag and ("=" not in argument or before in ("--shell-completion", "-sc"))
        if not argument.startswith("-") and not of_flag:
            result.append(argument)
    return result


def _choices(override: str, group: str, value: str, own_files: bool) -> list[str | None]:
    """The choices that an override names, of which a sweep has several; none where only Hydra can tell."""
    if value == "null" and group not in SETS_OF_VALUES and group != "data":
        raise UserError(f"{override}: choose one of {', '.join(names(group))}")
    if override.startswith("~") or set(value) & set("()[]{}$*"):
        return []  # ~GROUP, choice(a, b), glob(*), ${...}
    words = [word.strip(" '\"") for word in value.split(",")]
    for word in words:
        if word not in names(group) and word != "null" and not own_files:
            raise UserError(f"{group}={word}: choose one of {', '.join(names(group))}{near(word, names(group))}")
    return [None if word == "null" else word for word in words]


def _possible(group: str, keys: Keys, chosen: dict[str, list[str | None]]) -> list[dict[str, Option]] | None:
    """The keys below a group with each that may be chosen: by the command line, or by the files that it chooses.

    None where a choice is a user's own, of which only Hydra knows the keys.
    """
    if group not in keys.groups:
        return [keys.of(group, None)]
    if group in chosen:
        choices = chosen[group]
    else:
        choices = [keys.groups[group]]
        for other, values in chosen.items():
            choices += [
                chosen_by(other, value)[group] for value in values if value and group in chosen_by(other, value)
            ]
    if any(choice is not None and choice not in names(group) for choice in choices):
        return None
    return [keys.of(group, choice) for choice in choices or [None]]


def _together(each: list[dict[str, Option]]) -> dict[str, Option]:
    result: dict[str, Option] = {}
    for one in each:
        result = {**one, **result}
    return result


def _value_violations(override: str, keys: Keys, possible: dict[str, list[dict[str, Option]] | None]) -> list[str]:
    """What is wrong with the value of an override whichever choice its group gets, as composing it would say."""
    key, _, text = override.lstrip("+").partition("=")
    first, *rest = key.split(".")
    if not rest:
        options = [keys.own[first]] if first in keys.own and first not in keys.groups else []
    else:
        options = [one[rest[0]] for one in possible.get(first) or [] if rest[0] in one] if len(rest) == 1 else []
    found = [
        list(violations_of(value, option.hint, key))
        for option in options
        if (value := _value(text, option)) is not None
    ]
    return found[0] if found and len(found) == len(options) and all(found) else []


def _value(text: str, option: Option) -> int | float | str | None:
    """What a number or a word on the command line is to an option; None where only Hydra can tell."""
    kinds = set(_types(option.hint))
    if text.isidentifier() and text not in ("null", "true", "false", "inf", "nan"):
        return text if option.words or kinds & {int, float} else None
    if str in kinds or "_" in text or text != text.strip():
        return None
    for kind in (int, float):
        with suppress(ValueError):
            number = kind(text)
            return float(number) if float in kinds else number if int in kinds else None
    return None


def _types(hint: Any) -> Iterator[Any]:
    """The types within a hint."""
    if get_args(hint):
        yield from (found for one in get_args(hint) for found in _types(one))
    elif isinstance(hint, type):
        yield hint


def _check_key(override: str, keys: Keys, known: dict[str, dict[str, Option] | None]) -> None:
    path, assigned, value = override.lstrip("+~").partition("=")
    value = assigned + value
    first, *rest = path.split("@")[0].split("[")[0].split(".")
    if first in keys.groups or first in keys.own:
        option = keys.own.get(first)
        if not rest or (option is not None and option.cls is None):
            return
        if option is not None and ((below := known[first]) is None or rest[0] in below):
            return
    raise UserError(f"{override}: there is no such key{_meant(path, value, keys, known)}")


def _meant(path: str, value: str, keys: Keys, known: dict[str, dict[str, Option] | None]) -> str:
    """`; did you mean KEY=VALUE?` for the keys that are likely, or the keys that there are."""
    every: dict[str, Option | None] = {**dict.fromkeys(keys.groups), **keys.own}
    for group, below in known.items():
        every |= {f"{group}.{name}": option for name, option in (below or {}).items() if name != "name"}
    first, _, last = path.rpartition(".")
    foreign = [key for key in FOREIGN.get(last, ()) if key in every][:1]
    same = [key for key in every if key.split(".")[-1] == last]
    inner = known.get(first)
    if inner is not None:
        inside = [f"{first}.{name}" for name in get_close_matches(last, inner)]
        of_others = last in keys.of(first, None) if first in keys.groups else False
        likely = [] if of_others else foreign or same or inside
    else:
        spelt = get_close_matches(path, every, MOST_NAMED, 0.75)
        spelt += [key for key in every if get_close_matches(last, [key.split(".")[-1]], 1, 0.75)]
        likely = foreign or same or spelt
    if likely := list(dict.fromkeys(likely))[:MOST_NAMED]:
        return f"; did you mean {' or '.join(_with_value(key, value, every[key]) for key in likely)}?"
    if inner is not None:
        return f"; there are {', '.join(sorted(inner))}"
    return f"; there are {', '.join(sorted({**keys.own, **keys.groups}))}"


def _with_value(key: str, value: str, option: Option | None) -> str:
    """The key with the value that was given, unless it takes only other words."""
    words = names(key) if option is None or option.cls is not None else option.words
    return key + value if not words or value.removeprefix("=") in words else f"{key} (one of {', '.join(words)})"


def near(word: str, known: Iterable[str]) -> str:
    """`; did you mean WORD?` where one of the words that there are is spelt nearly the same."""
    found = get_close_matches(word, list(known), 1)
    return f"; did you mean {found[0]}?" if found else ""


def _check_launcher(name: str) -> None:
    if name in LAUNCHERS:
        package, module, extra = LAUNCHERS[name]
        if find_spec(module.split(".")[0]) is None or find_spec(module) is None:
            raise UserError(f"hydra/launcher={name}: needs pip install {package}, or detector-lab[{extra}]")
