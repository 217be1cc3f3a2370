"""The folder of a run: made once, never overwritten, with what is needed to repeat the run."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from detector import __version__, config
from detector.errors import UserError
from detector.output import write_json, write_text

if sys.platform != "win32":
    import fcntl


def describe(folder: Path, train: config.Train) -> None:
    """Writes `config.yaml`, the resolved configuration, and `environment.json`: time, versions, git commit, machine, seed."""
    write_config(folder, train)
    packages = ("torch", "torchvision", "lightning", "albumentations", "pycocotools", "numpy")
    environment = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {**{name: version(name) for name in packages}, "detector": __version__},
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changes": bool(_git("status", "--porcelain")),
        "machine": platform.platform(),
        "seed": train.seed,
    }
    write_json(folder / "environment.json", environment)


def write_config(folder: Path, train: config.Train) -> None:
    """Writes `config.yaml`, with which the run in `folder` goes on from now on."""
    write_text(folder / "config.yaml", OmegaConf.to_yaml(asdict(train)))


def read_config(folder: Path) -> config.Train:
    """The configuration that a run was started with.

    The file is read as plain values: nothing that it names is run, and nothing is put in for `${...}`.

    Raises:
        UserError: in one line, that there is no such file, that it is no YAML, or which of its values cannot be.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        raise UserError(f"resume={folder}: is not a run folder (no config.yaml in it)")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise UserError(
                f"{path}: has references (*name), which a run writes nowhere and which may grow without end"
            )
        values = OmegaConf.to_container(OmegaConf.create(text))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text (byte {error.start}): it is damaged") from error
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path}: is no YAML that a run writes: it is damaged, or was edited ({reason[:200]})"
        ) from error
    settings = config.from_dict(values, f"{path}: ")
    if settings.data is None:
        raise UserError(
            f"{path}: has no data: the run was given its images from Python, without files that could be read again"
        )
    return settings


@contextmanager
def reserved(folder: Path) -> Iterator[None]:
    """The run in `folder` belongs to this process meanwhile; the operating system gives it back if the process dies.

    Raises:
        UserError: another process has it.
    """
    if sys.platform == "win32":  # has no such locks
        yield
        return
    with open(folder / ".lock", "a") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{folder}: another process is training there") from None
        yield


def start_again(folder: Path) -> None:
    """Removes what a run has logged that was stopped before its first checkpoint."""
    (folder / "metrics.csv").unlink(missing_ok=True)
    shutil.rmtree(folder / "tensorboard", ignore_errors=True)


def _git(*arguments: str) -> str | None:
    root = Path(__file__).resolve().parent
    try:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
