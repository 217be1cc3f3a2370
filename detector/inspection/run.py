"""`scripts/inspect_model.py`: the ledger of a configured detector, checked, as a table, a CSV file and a page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from detector import config
from detector.checkpoint import build
from detector.data.images.letterbox import check_image_size
from detector.data.read import read_index
from detector.errors import UserError
from detector.inspection.inspected import Inspected, inspect_detector
from detector.inspection.page import inspection_page
from detector.inspection.picture import sample_picture
from detector.inspection.summary import EXPLANATION, check_lines
from detector.inspection.table import as_csv, ledger_cells
from detector.output import output_folder, write_text
from detector.visualization.text_table import terminal


def run(given: config.InspectModel) -> Inspected:
    """Prints the table, the notes and the check, and writes `ledger.csv` and `model.html`.

    Raises:
        UserError: the detector cannot be, the image cannot be read, or the output folder is not empty.
        SystemExit: with code 1 where a count is not PyTorch's; the layers are named.
    """
    check_image_size(given.image_size)
    if given.depth < 0:
        raise UserError(f"depth={given.depth}: 1 or more, or 0 for all layers")
    classes = _classes(given)
    with torch.device("meta"):
        detector = build(given, classes, pretrained=False)
    picture = sample_picture(given.image)
    inspected = inspect_detector(detector, given.image_size)
    folder = output_folder(given.output, Path(given.runs) / "inspect_model")

    title = _title(given)
    lines = [f"one image of {given.image_size}×{given.image_size} pixels, {classes} classes", *inspected.dry_run.notes]
    mistakes, check = inspected.ledger.mistakes(), check_lines(inspected)
    print(title, terminal(ledger_cells(inspected, given.depth)), sep="\n\n", end="\n\n")
    print(EXPLANATION, *lines, *check, sep="\n")
    write_text(folder / "ledger.csv", as_csv(inspected))
    write_text(folder / "model.html", inspection_page(title, lines, check, bool(mistakes), inspected, picture))
    print(f"{folder}: ledger.csv has every layer, model.html shows them")
    if mistakes:
        print(*(f"error: {mistake}" for mistake in mistakes), sep="\n", file=sys.stderr)
        sys.exit(1)
    return inspected


def _classes(given: config.InspectModel) -> int:
    if given.data is not None:
        return len(read_index(given.data, "train").class_names)
    if given.classes < 1:
        raise UserError(f"classes={given.classes}: must be 1 or more")
    return given.classes


def _title(given: config.InspectModel) -> str:
    parts = [_name(part) for part in (given.backbone, given.neck, given.head) if part is not None]
    return f"{given.model.name}: {' → '.join(parts)}" if parts else given.model.name


def _name(part: Any) -> str:
    """`vgg (depth=16)`: with the options that tell those of one family apart."""
    options = [f"{key}={getattr(part, key)}" for key in ("depth", "width", "variant", "model") if hasattr(part, key)]
    return f"{part.name} ({' '.join(options)})" if options else str(part.name)
