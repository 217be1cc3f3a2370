"""Writes `tidecv_figures.json`: what tidecv 1.0.1 (Daniel Bolya, MIT) says about the cases of `tide_cases.py`.

pip install tidecv==1.0.1 "numpy<2"      # in an environment of its own; the project does not need it
python tests/evaluation/analysis/tidecv_figures.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tide_cases import Case, make_case

SEEDS = range(12)
NAMES = {
    "Cls": "classification", "Loc": "localisation", "Both": "both", "Dupe": "duplicate", "Bkg": "background",
    "Miss": "missed", "FalsePos": "false_positives", "FalseNeg": "false_negatives",
}  # fmt: skip


def figures(case: Case) -> dict[str, Any]:
    """AP and ΔAP in 0..1, numbers of errors."""
    from tidecv import TIDE, Data

    truth, found = Data("objects"), Data("detections")
    for image in range(case.images):
        truth.add_image(image, str(image))
    for label in range(case.classes):
        truth.add_class(label, str(label))
    for image, label, *box in case.objects.tolist():
        truth.add_ground_truth(int(image), int(label), box)
    for image, label, *box, score in case.detections.tolist():
        found.add_detection(int(image), int(label), score, box)
    run = TIDE(pos_threshold=0.5, background_threshold=0.1, mode=TIDE.BOX).evaluate(truth, found)
    gains = {**run.fix_main_errors(), **run.fix_special_errors()}
    return {
        "ap": run.ap / 100,
        "delta_ap": {NAMES[kind.short_name]: gain / 100 for kind, gain in gains.items()},
        "counts": {NAMES[kind.short_name]: len(errors) for kind, errors in run.error_dict.items()},
    }


if __name__ == "__main__":
    file = Path(__file__).with_name("tidecv_figures.json")
    rows = ",\n".join(f"{json.dumps(str(seed))}: {json.dumps(figures(make_case(seed)))}" for seed in SEEDS)
    file.write_text("{\n" + rows + "\n}\n")
