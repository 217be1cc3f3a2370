"""What is read from source files is what Python makes of them."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from typing import Any

import pytest
from omegaconf import OmegaConf

from detector import config
from detector.cli.choices import keys_of, menus, option_class
from detector.cli.commands import COMMANDS
from detector.cli.option_source import Found, named, options
from detector.command_line import CONFIGS, names
from detector.option_check import violations

CLASSES = [
    (found, cls) for group, classes in config.GROUPS.items() for found, cls in zip(menus()[group], classes, strict=True)
]
CLASSES += [
    (named("detector.config", command.options), getattr(config, command.options)) for command in COMMANDS.values()
]


@pytest.mark.parametrize(("found", "cls"), CLASSES, ids=[cls.__name__ for _, cls in CLASSES])
def test_the_fields_of_every_class_have_the_names_order_and_defaults_that_python_gives_them(
    found: Found, cls: Any
) -> None:
    read = options(found)
    assert list(read) == [field.name for field in dataclasses.fields(cls)]
    for field in dataclasses.fields(cls):
        default: Any = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        text = read[field.name].default
        if default == config.MISSING or default is dataclasses.MISSING:
            assert text is None
        elif not dataclasses.is_dataclass(default):
            assert text is not None
            value = OmegaConf.create(f"value: {text}").value
            assert value == default or getattr(cls(**{field.name: value}), field.name) == default  # YAML's off is False


@pytest.mark.parametrize(("found", "cls"), CLASSES, ids=[cls.__name__ for _, cls in CLASSES])
def test_the_words_that_a_field_takes_are_all_that_it_takes(found: Found, cls: Any) -> None:
    for option in options(found).values():
        for word in [*option.words, "no such word"] if option.words else []:
            value = int(word) if word.isdecimal() else word
            (hint,) = [field.type for field in dataclasses.fields(cls) if field.name == option.name]
            assert hint
            blamed = [one for one in violations(_with(cls, option.name, value)) if one.startswith(f"{option.name}=")]
            assert bool(blamed) == (word == "no such word")


def _with(cls: Any, name: str, value: Any) -> Any:
    needed = {field.name: "x" for field in dataclasses.fields(cls) if field.default == config.MISSING}
    return cls(**{**needed, name: value})


def test_every_choice_follows_the_class_that_hydra_takes_for_it() -> None:
    for group, classes in config.GROUPS.items():
        for name in names(group):
            found = option_class(group, name)
            assert found is not None
            assert found.node in [one.node for one in menus()[group]]
            values = OmegaConf.load(CONFIGS / group / f"{name}.yaml")
            schema = next(str(one) for one in values.defaults if f"/schema/{group}/" in str(one))
            wanted = schema.split("/")[-1].split("@")[0]
            (cls,) = [one for one in classes if config.schema_name(group, one) == wanted]
            assert found.node.name == cls.__name__  # type: ignore[union-attr]


@pytest.mark.parametrize("command", COMMANDS.values(), ids=str)
def test_a_row_of_the_table_names_what_there_is(command: Any) -> None:
    module, _, function = command.function.partition(":")
    assert callable(getattr(import_module(module), function))
    assert (CONFIGS / f"{command.name}.yaml").is_file()
    assert command.positional is None or command.positional in keys_of(command).own
