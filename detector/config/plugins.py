"""Parts from a user's own files: `plugins=[my_parts.py]`."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, NoneType
from typing import Any, get_args, get_type_hints

from detector.command_line import PLUGIN_PARTS
from detector.config.commands import Experiment
from detector.config.groups import GROUPS, schema_name
from detector.errors import UserError
from detector.options import MISSING

_loaded: dict[Path, bytes] = {}
"""The files that were run, as they were then."""
_own: dict[Path, list[tuple[str, Any]]] = {}
"""The (group, options class) that each of them defines."""
_folders: list[str] = []
"""The folders that were added to `sys.path` for them."""
_registered: list[tuple[str, Any]] = []
"""The (group, options class) that came from a notebook or a script."""


def load_plugins(files: Iterable[str | Path]) -> None:
    """Runs files and adds the options classes that they define to the choices of their groups.

    A class belongs to the group from whose options it is derived (`AssignerOptions`: assigner), and its `name` is the
    choice. A file that has been run already is run again only where it has changed.

    Raises:
        UserError: in one line, a file that is not there or cannot be run, or a class in it that cannot be a choice.
    """
    for file in files:
        path = Path(file).resolve()
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"plugins: {file}: cannot be read ({error.strerror})") from error
        if _loaded.get(path) != content:
            _forget(path)
            try:
                found = list(_options_in(_run(path, str(file)), str(file)))
            except UserError:
                _leave(path)
                raise
            for group, cls in found:
                _add(group, cls)
            _loaded[path], _own[path] = content, found


def register(group: str, cls: type) -> None:
    """Makes a class of the user's own a choice of `group`, for as long as Python runs; one of the project's is one already.

    A class that was registered before under the same name gives way: a notebook's cell may be run again.

    Raises:
        UserError: the class is no dataclass, or another choice has its name.
    """
    if cls in GROUPS[group]:
        return
    same = [one for one in GROUPS[group] if schema_name(group, one) == schema_name(group, cls)]
    if "__dataclass_fields__" not in vars(cls):
        raise UserError(f"{group}: {cls.__name__} is no dataclass: write @dataclass above it")
    if any((group, one) not in _registered for one in same):
        raise UserError(f"{group}={schema_name(group, cls)} is there already: give {cls.__name__} another name")
    for one in same:
        _remove(group, one)
    _add(group, cls)
    _registered.append((group, cls))


def _add(group: str, cls: Any) -> None:
    GROUPS[group] = (*GROUPS[group], cls)
    PLUGIN_PARTS.append((group, cls))


def _remove(group: str, cls: Any) -> None:
    GROUPS[group] = tuple(one for one in GROUPS[group] if one is not cls)
    PLUGIN_PARTS.remove((group, cls))


def loaded() -> list[Path]:
    """The files that were run."""
    return list(_loaded)


def bases() -> dict[str, type]:
    """The options class from which every choice of a group is derived, for the groups that a plugin can add to."""
    return {group: base_of(group) for group in GROUPS if group != "trainer"}


def base_of(group: str) -> type:
    """The options class from which every choice of a group is derived."""
    hint = get_type_hints(Experiment)[group]
    found: type = next((one for one in get_args(hint) if one is not NoneType), hint)
    return found


def _forget(path: Path) -> None:
    if path in _loaded:
        _leave(path)
    for group, cls in _own.pop(path, []):
        _remove(group, cls)
    _loaded.pop(path, None)


def _leave(path: Path) -> None:
    """The file is a module no more."""
    if (module := sys.modules.get(path.stem)) is not None and _file_of(module) == path:
        del sys.modules[path.stem]
    if (folder := str(path.parent)) in _folders:
        _folders.remove(folder)
        sys.path.remove(folder)


def _run(path: Path, file: str) -> ModuleType:
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"plugins: {file}: is no Python file (its name must end in .py)")
    other = sys.modules.get(name) or importlib.util.find_spec(name)
    if other is not None and _file_of(other) != path:
        raise UserError(f"plugins: {file}: there is another module called {name}: give the file another name")
    if (folder := str(path.parent)) not in sys.path:
        sys.path.append(folder)  # processes that load data have the same, and find the file by its name
        _folders.append(folder)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their own module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's own file raises
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
        where = file if line is None else f"{file}, line {line}"
        raise UserError(f"plugins: {where}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    return module


def _file_of(module: ModuleType | ModuleSpec) -> Path | None:
    found = module.origin if isinstance(module, ModuleSpec) else getattr(module, "__file__", None)
    return None if found is None else Path(found).resolve()


def _options_in(module: ModuleType, file: str) -> Iterator[tuple[str, Any]]:
    known = bases()
    found = False
    for cls in [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]:
        group = next((group for group, base in known.items() if issubclass(cls, base)), None)
        if group is None:
            continue
        if "__dataclass_fields__" not in vars(cls):
            raise UserError(f"plugins: {file}: {cls.__name__} is no dataclass: write @dataclass above it")
        name = getattr(cls, "name", MISSING)
        if name == MISSING:
            continue  # what several choices of the file share
        if name in [schema_name(group, one) for one in GROUPS[group]]:
            raise UserError(f"plugins: {file}: {group}={name} is there already: give {cls.__name__} another name")
        found = True
        yield group, cls
    if not found:
        wanted = ", ".join(base.__name__ for base in known.values())
        raise UserError(f"plugins: {file}: defines no part: a dataclass with a name, derived from one of {wanted}")
