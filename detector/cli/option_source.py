"""The options that dataclasses describe, read from their source files: docstrings of fields exist only there.

Imports are followed in the source, and nothing that defines or uses options is imported, so that help waits for no torch.
"""

from __future__ import annotations

import ast
import copy
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import detector.options

ROOT = Path(__file__).resolve().parent.parent
PLAIN: dict[str, Any] = {"int": int, "float": float, "str": str}
BUILTINS = {"int": "int", "float": "float", "str": "text", "bool": "true or false", "Any": "anything"}


@dataclass(frozen=True)
class Source:
    """A module of the package, parsed."""

    name: str
    path: Path
    tree: ast.Module


@dataclass(frozen=True)
class Found:
    """What a name stands for: a class, an expression or a whole module, and the module that it is written in."""

    node: ast.ClassDef | ast.expr | None
    source: Source


@dataclass(frozen=True)
class Option:
    """One field of an options class."""

    name: str
    kind: str
    """Type and range, in words."""
    default: str | None
    """Default as an override writes it; None where a value must be given."""
    sentence: str
    """The first paragraph of its docstring."""
    words: tuple[str, ...] = ()
    """The only values that it takes, where there are a few."""
    cls: Found | None = None
    """The class of its value where that has keys of its own."""
    hint: Any = None
    """Its type with its conditions, as `detector.option_check` takes it, where it is a number or a text; otherwise None."""


@cache
def source(module: str) -> Source | None:
    """A module of the package by its full name; None if there is none."""
    path = ROOT.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if module.split(".")[0] != ROOT.name or not path.is_file():
        return None
    return Source(module, path, ast.parse(path.read_text(encoding="utf-8")))


def resolve(expression: ast.expr, where: Source) -> Found:
    """The class, module or expression that a name stands for; any other expression stands for itself."""
    if isinstance(expression, ast.Name):
        return lookup(expression.id, where) or Found(expression, where)
    if isinstance(expression, ast.Attribute):
        owner = resolve(expression.value, where)
        if owner.node is None:
            return lookup(expression.attr, owner.source) or Found(expression, where)
    return Found(expression, where)


@cache
def lookup(name: str, where: Source) -> Found | None:
    """What `name` is at the top level of a module, through as many imports as it takes."""
    for statement in reversed(list(_statements(where.tree.body))):
        match statement:
            case ast.ClassDef() if statement.name == name:
                return Found(statement, where)
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                return resolve(value, where)
            case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if target == name:
                return resolve(value, where)
            case ast.ImportFrom(module=str() as module, names=aliases):
                for alias in aliases:
                    if alias.name == "*" or (alias.asname or alias.name) == name:
                        imported = source(module)
                        searched = name if alias.name == "*" else alias.name
                        found = lookup(searched, imported) if imported else None
                        if found is None and (submodule := source(f"{module}.{searched}")):
                            found = Found(None, submodule)
                        if found:
                            return found
    return None


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        if isinstance(statement, ast.If):  # such as `if TYPE_CHECKING`
            yield from _statements(statement.body)
        else:
            yield statement


def named(module: str, name: str) -> Found:
    """The class or expression of that name. Raises LookupError where there is none."""
    where = source(module)
    if where is None or (found := lookup(name, where)) is None:
        raise LookupError(f"{module}.{name} is not in the source files")
    return found


def class_of(cls: type) -> Found:
    """A class of a file that has been run, such as a plugin's. Raises LookupError where it stands inside another."""
    path = Path(inspect.getfile(cls))
    found = lookup(cls.__name__, Source(cls.__module__, path, ast.parse(path.read_text(encoding="utf-8"))))
    if found is None:
        raise LookupError(f"{path}: {cls.__qualname__} is not at the top of the file")
    return found


def elements(found: Found) -> list[Found]:
    """The members of a tuple of names, also one that is put together of others."""
    match found.node:
        case ast.Tuple(elts=members) | ast.List(elts=members):
            return [one for member in members for one in elements(_member(member, found.source))]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [one for side in (left, right) for one in elements(resolve(side, found.source))]
        case ast.ClassDef():
            return [found]
    raise LookupError(
        f"{found.source.name}: {ast.unparse(found.node) if found.node else 'a module'} is no tuple of classes"
    )


def _member(member: ast.expr, where: Source) -> Found:
    return resolve(member.value if isinstance(member, ast.Starred) else member, where)


@cache
def options(cls: Found) -> dict[str, Option]:
    """The fields of a dataclass in its own order, with those that it inherits."""
    result: dict[str, Option] = {}
    assert isinstance(cls.node, ast.ClassDef)
    for base in reversed(cls.node.bases):
        inherited = resolve(base, cls.source)
        if isinstance(inherited.node, ast.ClassDef):
            result |= options(inherited)
    for statement, following in zip(cls.node.body, [*cls.node.body[1:], ast.Pass()], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name = statement.target.id
            if ast.unparse(statement.annotation).startswith("ClassVar"):
                continue
            default = _default(statement.value, cls.source) if statement.value else None
            option = replace(_kind(statement.annotation, cls.source), name=name, default=default)
            sentence = _docstring(following) or (result[name].sentence if name in result else "")
            result[name] = replace(option, sentence=sentence)
    return result


def _docstring(statement: ast.stmt) -> str:
    match statement:
        case ast.Expr(value=ast.Constant(value=str() as text)):
            return " ".join(text.strip().split("\n\n")[0].split())
    return ""


def _kind(annotation: ast.expr, where: Source) -> Option:
    match annotation:
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[inner, *conditions])):
            option = _kind(inner, where)
            for condition in conditions:
                value = _condition(condition, where)
                if option.hint is not None:
                    option = replace(option, hint=Annotated[option.hint, value])
                if words := tuple(map(str, getattr(value, "choices", ()))):
                    option = replace(option, kind=f"one of {', '.join(words)}", words=words)
                else:
                    option = replace(option, kind=f"{option.kind}{_gap(str(value))}{value}")
            return option
        case ast.Subscript(value=ast.Name(id="list"), slice=inner):
            item = _kind(inner, where)
            return Option("", f"list of {item.kind}" if item.kind != "anything" else "list", None, "")
        case ast.BinOp(left=left, op=ast.BitOr(), right=ast.Constant(value=None)):
            option = _kind(left, where)
            return replace(option, kind=f"{option.kind} or null", hint=option.hint and (option.hint | None))
        case ast.Name(id=name) if name in BUILTINS:
            return Option("", BUILTINS[name], None, "", hint=PLAIN.get(name))
    found = resolve(annotation, where)
    if isinstance(found.node, ast.ClassDef):
        return Option("", "a group of keys", None, "", cls=found)
    if found.node is None or found.node is annotation:
        raise LookupError(f"{where.name}: {ast.unparse(annotation)} is no type of an option")
    return _kind(found.node, found.source)


def _gap(condition: str) -> str:
    return ", " if condition.startswith(("a ", "exactly")) or condition[0].isdigit() else " "


def _condition(call: ast.expr, where: Source) -> Any:
    """The condition itself, such as `Range(0, 1)`; of its module only the one file is run."""
    assert isinstance(call, ast.Call)
    found = resolve(call.func, where)
    module = _alone(found.source)
    assert isinstance(found.node, ast.ClassDef)
    constants = _Constants(where)
    call = ast.Call(
        func=ast.Name(id=found.node.name, ctx=ast.Load()),
        args=[constants.visit(argument) for argument in copy.deepcopy(call.args)],
        keywords=[constants.visit(keyword) for keyword in copy.deepcopy(call.keywords)],
    )
    code = compile(ast.fix_missing_locations(ast.Expression(call)), str(where.path), "eval")
    return eval(code, vars(module))


class _Constants(ast.NodeTransformer):
    """Puts the expressions in for the names of a module's constants."""

    def __init__(self, where: Source) -> None:
        self.where = where

    def visit_Name(self, node: ast.Name) -> ast.expr:
        found = lookup(node.id, self.where)
        if found is None or not isinstance(found.node, ast.expr):
            return node
        return _Constants(found.source).visit(copy.deepcopy(found.node))


@cache
def _alone(module: Source) -> ModuleType:
    """A module without the packages that it lies in, which would import more."""
    if module.name == "detector.options":  # which imports no more
        return detector.options
    name = f"{module.name} (alone)"
    spec = importlib.util.spec_from_file_location(name, module.path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made  # where dataclasses look for it
    spec.loader.exec_module(made)
    return made


def _default(value: ast.expr, where: Source) -> str | None:
    match value:
        case ast.Name(id="MISSING"):
            return None
        case ast.Call(func=ast.Name(id="field"), keywords=[ast.keyword(arg="default_factory", value=factory)]):
            match factory:
                case ast.Lambda(body=body):
                    return _text(body)
                case ast.Name(id="list"):
                    return "[]"
            return ""
        case ast.Attribute(value=owner, attr=attribute):
            found = resolve(owner, where)
            if isinstance(found.node, ast.ClassDef):
                return options(found)[attribute].default
    found = resolve(value, where)
    return _text(found.node) if isinstance(found.node, ast.expr) else ""


def _text(value: ast.expr) -> str:
    match value:
        case ast.Constant(value=bool() as truth):
            return str(truth).lower()
        case ast.Constant(value=None):
            return "null"
        case ast.Constant(value=str() as text):
            return text
        case ast.List(elts=elements):
            return f"[{','.join(map(_text, elements))}]"
    return ast.unparse(value)
