"""The folder of a run: made once, never overwritten, with what is needed to repeat the run."""

from __future__ import annotations

import json
import platform
import subprocess
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from detector import config
from detector.errors import UserError


def new_folder(parent: Path) -> Path:
    """A new folder `parent/DATE_TIME` and a link `parent/latest` to it."""
    identity = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    attempt = 0
    while True:
        folder = parent / (f"{identity}-{attempt}" if attempt else identity)
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            if not parent.is_dir():
                raise UserError(f"{parent}: is a file, a folder was expected") from None
            attempt += 1
    link = parent / "latest"
    link.unlink(missing_ok=True)
    link.symlink_to(folder.name)
    return folder


def describe(folder: Path, train: config.Train) -> None:
    """Writes `config.yaml`, the resolved configuration, and `environment.json`: versions, git commit, machine, seed."""
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(asdict(train)))
    packages = ("torch", "torchvision", "lightning", "albumentations", "pycocotools", "numpy", "detector")
    environment = {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changes": bool(_git("status", "--porcelain")),
        "machine": platform.platform(),
        "seed": train.seed,
    }
    write_json(folder / "environment.json", environment)


def read_config(folder: Path) -> config.Train:
    """The configuration that a run was started with."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise UserError(f"resume={folder}: is not a run folder (no config.yaml in it)")
    return config.from_dict(OmegaConf.to_container(OmegaConf.load(path)))  # type: ignore[arg-type]


def write_json(path: Path, content: Any) -> None:
    """Indented JSON."""
    path.write_text(json.dumps(content, indent=2) + "\n")


def _git(*arguments: str) -> str | None:
    root = Path(__file__).resolve().parent
    try:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
