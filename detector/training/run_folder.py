"""The folder of a run: made once, never overwritten, with what is needed to repeat the run."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from omegaconf import OmegaConf

from detector import config
from detector.errors import UserError
from detector.output import write_json


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


def _git(*arguments: str) -> str | None:
    root = Path(__file__).resolve().parent
    try:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
