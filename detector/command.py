"""The edge between the command line and the package: Hydra composes, one line and exit code 2 answer a user's mistake."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from detector import config
from detector.errors import UserError
from detector.sweep.jobs import job
from detector.sweep.report import SweepReport
from detector.sweep.run import run_job
from detector.training.run_folder import read_config

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


def command(name: str, function: Callable[[Any], Any], positional: str | None = None) -> None:
    """Composes `configs/NAME.yaml` with the command line's overrides and gives it to `function` as a dataclass object.

    Arguments that are no overrides (`runs/a runs/b`, as a shell's pattern gives them) become the list `positional`.
    """
    register_schemas()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing and exiting with 1; the lines below answer

    @hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=name)
    def main(composed: DictConfig) -> None:
        if name == "train" and HydraConfig.get().mode == RunMode.MULTIRUN:
            _sweep_job(composed)
            return
        # inside the job too: Hydra prints a line of its own about any exception that leaves it
        with answer_mistakes():
            _refuse_sweep_without_multirun()
            _leave_out_absent_parts(composed)
            settings = _resumed(composed) if composed.get("resume") else to_object(composed)
            function(settings)

    SweepReport.current = None
    try:
        with answer_mistakes():
            _check_groups(sys.argv[1:])
            if positional:
                sys.argv[1:] = _with_list(positional, sys.argv[1:])
            main()
    finally:
        finished = SweepReport.current is None or SweepReport.current.conclude()
    if not finished:
        sys.exit(1)


def _sweep_job(composed: DictConfig) -> None:
    """One job; also in a process of a launcher's, on whatever machine."""
    _leave_out_absent_parts(composed)
    settings: config.Train = to_object(composed)
    if settings.resume:
        raise UserError("resume goes on with one run: leave out -m")
    hydra_config = HydraConfig.get()
    directory = Path(hydra_config.runtime.cwd)  # where the sweep was started; a launcher's process may be elsewhere
    os.chdir(directory)
    run_job(job(settings, list(hydra_config.overrides.task)), settings, directory)


def _refuse_sweep_without_multirun() -> None:
    if chosen := HydraConfig.get().runtime.choices.get("sweep"):
        raise UserError(f"sweep={chosen}: is many runs; give -m as well: scripts/train.py -m sweep={chosen} ...")


def _leave_out_absent_parts(composed: DictConfig) -> None:
    """What a recipe says of a part that the model does without, so that any model can follow any recipe.

    Where something else says it too, a freebie or the command line, it stays, and `to_object` refuses it.
    """
    chosen = HydraConfig.get()
    choices = chosen.runtime.choices
    recipe = choices.get("experiment")
    if not recipe or choices.get("freebie"):
        return
    keys: Any = OmegaConf.load(CONFIGS / "experiment" / f"{recipe}.yaml")
    for group in sorted(_absent_groups(choices["model"])):
        if group not in keys or any(
            override.startswith((f"{group}.", f"{group}=")) for override in chosen.overrides.task
        ):
            continue
        composed[group] = None
        left_out = ", ".join(f"{group}.{key}" for key in keys[group])
        print(f"left out of experiment={recipe}: {left_out}; model={choices['model']} has no {group}", file=sys.stderr)


def quoted(text: str) -> str:
    """The text as a value of an override: in Hydra's quotes where it has more than letters, digits and `/._-`."""
    if re.fullmatch(r"[\w/.-]+", text):
        return text
    return '"' + re.sub(r'(\\*)"', r"\1\1\"", re.sub(r"(\\+)$", r"\1\1", text)) + '"'


def _with_list(key: str, arguments: list[str]) -> list[str]:
    """A path may have a `=` in its name, as the folders of sweeps do: what exists is no override."""
    listed = [one for one in arguments if not one.startswith("-") and ("=" not in one or Path(one).exists())]
    if not listed:
        return arguments
    return [
        *(one for one in arguments if one not in listed),
        f"{key}=[{','.join(map(quoted, listed))}]",
    ]


def _check_groups(arguments: list[str]) -> None:
    """Keys of a group that is not chosen: OmegaConf's word for them is an assertion, Hydra's for GROUP=null a ValueError."""
    given = [argument for argument in arguments if argument.startswith("data.")]
    if given and not any(argument.startswith(("data=", "experiment=")) for argument in arguments):
        raise UserError(f"{given[0]}: choose the data too: data={'|'.join(_choices('data').split(', '))}")
    models = [argument.removeprefix("model=") for argument in arguments if argument.startswith("model=")]
    absent = _absent_groups(models[-1]) if models else set()
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key in config.GROUPS and value == "null":
            raise UserError(f"{argument}: choose one of {_choices(key)}")
        if (group := key.split(".")[0]) in absent:
            raise UserError(f"{argument}: has no meaning with model={models[-1]}, which has no {group} of its own")


def _absent_groups(model: str) -> set[str]:
    """The groups that a choice of `model` does without."""
    file = CONFIGS / "model" / f"{model}.yaml"
    defaults = OmegaConf.load(file).defaults if file.is_file() else []
    entries = [key for one in defaults if not isinstance(one, str) for key, value in one.items() if value is None]
    return {str(key).removeprefix("override /") for key in entries}


@contextmanager
def answer_mistakes() -> Iterator[None]:
    """A user's mistake becomes one line and exit code 2, an interruption exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        _fail("stopped", 130)
    except UserError as error:
        # a loader process's error comes wrapped in its traceback; the message itself is one line
        _fail(str(error).strip().splitlines()[-1].removeprefix("detector.errors.UserError: "))
    except (HydraException, OmegaConfBaseException) as error:
        _fail(_one_line(error))
    except OSError as error:
        if error.errno not in _USERS_ERRORS:
            raise
        _fail(f"{error.filename or 'disk'}: {error.strerror}")


def register_schemas() -> None:
    """Makes the dataclasses of `detector.config` known to Hydra, as `/schema/GROUP: NAME`."""
    store = ConfigStore.instance()
    for group, classes in config.GROUPS.items():
        for cls in classes:
            store.store(group=f"schema/{group}", name=config.schema_name(group, cls), node=cls)
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


def to_object(composed: DictConfig) -> Any:
    """The dataclass object of a composed configuration; a value that must be given and is not is a UserError."""
    absent = OmegaConf.missing_keys(composed)
    for missing in sorted(absent):
        group = missing.split(".")[0]
        if f"{group}.name" in absent and "model" not in absent:
            raise UserError(f"{group}: something sets a key of it, but model={composed.model.name} has no {group}")
        choices = f": choose one of {_choices(missing)}" if missing in config.GROUPS else ""
        raise UserError(f"{missing}=... must be given{choices}")
    result = OmegaConf.to_object(composed)
    _refuse_added_keys(composed, result, "")
    return result


def _resumed(composed: DictConfig) -> config.Train:
    """A run goes on with the configuration it was started with, which nothing on the command line can change."""
    others = [o for o in HydraConfig.get().overrides.task if not o.startswith("resume=")]
    if others:
        raise UserError(f"resume goes on with the run's own configuration: leave out {' '.join(others)}")
    return dataclasses.replace(read_config(Path(composed.resume)), resume=composed.resume)


def _choices(group: str) -> str:
    return ", ".join(sorted(path.stem for path in (CONFIGS / group).glob("*.yaml")))


def _refuse_added_keys(composed: DictConfig, result: Any, prefix: str) -> None:
    """`+key=value` adds a key that no dataclass has; nobody would read it."""
    for key in map(str, composed):
        if key not in (fields := result.__dataclass_fields__):
            raise UserError(f"{prefix}{key}: no such key; there are {', '.join(sorted(fields))}")
        if dataclasses.is_dataclass(value := getattr(result, key)):
            _refuse_added_keys(composed[key], value, f"{prefix}{key}.")


_USERS_ERRORS = {errno.ENOSPC, errno.EACCES, errno.EPERM, errno.EROFS, errno.EDQUOT}


def _one_line(error: BaseException) -> str:
    """Hydra wraps OmegaConf's error, which knows the key and its type, in one that knows neither: read both."""
    texts = []
    cause: BaseException | None = error
    while cause is not None:
        texts.append(str(cause))
        cause = cause.__cause__
    text = "\n".join(texts)

    if found := re.search(r"Could not find '(\w+)/([^']+)'", text) or re.search(r"You must specify '(\w+)'()", text):
        group, choice = found.group(1), found.group(2)
        return f"{group!s}={choice or '...'}: choose one of {_choices(group)}"
    full_key = re.search(r"full_key: ([\w.\[\]]+)", text)
    if (found := re.search(r"Key '(\w+)' (?:is not in struct|not in '\w+')", text)) and full_key:
        return f"{full_key.group(1)}: no such key{_known_keys(text)}"
    if (found := re.search(r"Value .* (?:could not be converted|is not a valid|of type).*", text)) and full_key:
        return f"{full_key.group(1)}: {found.group(0)}"
    lines = [line.strip() for line in texts[-1].splitlines() if line.strip()]
    return f"{full_key.group(1)}: {lines[0]}" if full_key else " ".join(lines[:2])


def _known_keys(text: str) -> str:
    found = re.search(r"object_type=(\w+)", text)
    cls = getattr(config, found.group(1), None) if found else None
    return "" if cls is None else f"; there are {', '.join(sorted(cls.__dataclass_fields__))}"


def _fail(line: str, code: int = 2) -> None:
    print(f"error: {line}", file=sys.stderr)
    sys.exit(code)
