"""Object detectors: trained, measured and taken apart.

from detector import load

model = load("runs/default/latest/best.ckpt")
found = model.predict("street.jpg")
found.boxes, found.scores, [model.class_names[label] for label in found.labels]
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["__version__", "load"]

if TYPE_CHECKING:
    from detector.inference.predictor import Predictor


def load(
    checkpoint: str | Path,
    image_size: int | None = None,
    accelerator: str = "auto",
    plugins: Iterable[str | Path] = (),
) -> Predictor:
    """The trained detector of a checkpoint, ready to `predict`.

    Args:
        checkpoint: a `best.ckpt` or `last.ckpt`. No code that the file names is run.
        image_size: side of the square that the model sees, in pixels; by default the one that it was trained at.
        accelerator: auto | cpu | gpu; auto takes a GPU where there is one.
        plugins: Python files with parts of one's own that the run was made with; they are run.

    Raises:
        UserError: the file is no checkpoint, it has parts of a plugin that is not given, the size is no multiple of 32, or
            there is no such accelerator.
    """
    from detector.checkpoint import open_checkpoint  # here, so that `import detector` does not wait for torch
    from detector.config import load_plugins
    from detector.inference.predictor import Predictor

    load_plugins(plugins)
    return Predictor(open_checkpoint(checkpoint), image_size, accelerator)
