"""The text of `--help`: what a command does, its keys and choices, in 80 columns."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Iterator

from detector.cli.choices import SETS_OF_VALUES, Keys, keys_of, summary
from detector.cli.commands import COMMANDS, Command
from detector.cli.option_source import Option
from detector.command_line import command_line, names
from detector.errors import UserError

WIDTH = 80


def overview() -> str:
    """The help of `detector` itself: all commands."""
    widest = max(map(len, COMMANDS))
    lines = ["Object detectors: trained, measured and taken apart.", "", "usage: detector COMMAND KEY=VALUE ...", ""]
    for command in COMMANDS.values():
        lines += _wrapped(command.sentence, f"  {command.name:<{widest}}  ", " " * (widest + 4))
    lines += ["", "detector COMMAND --help lists the keys of a command; detector --version."]
    return "\n".join(lines)


def help_text(command: Command, arguments: list[str]) -> str:
    """The help of a command, or of groups of its keys where the arguments name some: GROUP, GROUP=CHOICE or all."""
    keys = keys_of(command)
    asked = [one for one in arguments if one.split("=")[0] in keys.groups or one == "all"]
    if "all" in asked:
        asked = [group for group in keys.groups if group not in SETS_OF_VALUES]
        return "\n".join([_of_command(command, keys), *(f"\n{_of_group(command, keys, one)}" for one in asked)])
    return "\n\n".join(_of_group(command, keys, one) for one in asked) if asked else _of_command(command, keys)


def _of_command(command: Command, keys: Keys) -> str:
    program = command_line(command.name)
    lines = _wrapped(command.sentence)
    arguments = f"{command.positional.rstrip('s').upper()} ... KEY=VALUE ..." if command.positional else "KEY=VALUE ..."
    lines += ["", f"usage: {program} {arguments}", "", "examples:"]
    for example in command.examples:
        lines += _broken(program, shlex.split(example))
    own = [option for option in keys.own.values() if option.cls is None]
    if own:
        lines += ["", "keys:", *_listed(own)]
    for option in keys.own.values():
        if option.cls is not None and option.name not in keys.groups:
            lines += ["", f"keys of {option.name}:", *_listed(keys.of(option.name, None).values(), f"{option.name}.")]
    if keys.groups:
        lines += ["", "groups: GROUP=CHOICE chooses one, GROUP.KEY=VALUE changes a key of it"]
        for group, default in keys.groups.items():
            lines += _group_lines(group, default, keys)
        lines += ["", *_wrapped(f"{program} --help GROUP (or GROUP=CHOICE, or all) explains the keys of a group.")]
    if command.name == "train":
        lines += ["", "-m trains one detector for each combination of values that commas separate:"]
        lines += _broken(program, ["-m", "experiment=shapes", "loss=giou,ciou", "seed=0,1,2"])
    return "\n".join(lines)


def _group_lines(group: str, default: str | None, keys: Keys) -> Iterator[str]:
    chosen = f"={default}" if default else ""
    yield f"  {group}{chosen}"
    if len(names(group)) > 1:
        yield from _wrapped(f"one of {', '.join(names(group))}", " " * 6)
    if group not in SETS_OF_VALUES:
        yield from _wrapped(f"keys: {', '.join(key for key in keys.of(group, default) if key != 'name')}", " " * 6)


def _of_group(command: Command, keys: Keys, asked: str) -> str:
    group, _, choice = asked.partition("=")
    if choice and choice not in names(group):
        raise UserError(f"{asked}: choose one of {', '.join(names(group))}")
    lines = [f"{group}: GROUP=CHOICE with one of".replace("GROUP", group)]
    for name in names(group):
        lines += _wrapped(summary(group, name), f"  {name}: ", " " * 6)
    if group in SETS_OF_VALUES:
        return "\n".join(lines)
    shown = choice or keys.groups[group]
    heading = f"keys of {group}={shown}:" if shown else f"keys of any {group}:"
    described = [option for option in keys.of(group, shown or None).values() if option.name != "name"]
    return "\n".join([*lines, "", heading, *_listed(described, f"{group}.")])


def _listed(described: Iterable[Option], prefix: str = "") -> Iterator[str]:
    for option in described:
        value = "..." if option.default is None else option.default
        key = f"  {prefix}{option.name}={value if len(value) < 30 else '[...]'}"
        kind = option.kind if option.default is not None else f"{option.kind}; must be given"
        if len(key) < 26 and 28 + len(kind) <= WIDTH:
            yield f"{key:<28}{kind}"
        else:
            yield key
            yield from _wrapped(kind, " " * 6)
        yield from _wrapped(option.sentence, " " * 6)


def _wrapped(text: str, first: str = "", others: str | None = None) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=first if others is None else others, break_long_words=False
    )


def _broken(program: str, arguments: list[str]) -> Iterator[str]:
    """A shell command, with backslashes where it is broken."""
    line = f"  {program}"
    for argument in map(shlex.quote, arguments):
        if len(line) + len(argument) + 3 > WIDTH:
            yield f"{line} \\"
            line = "     "
        line += f" {argument}"
    yield line
