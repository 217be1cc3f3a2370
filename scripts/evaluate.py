"""Measures a detector as COCO does: python scripts/evaluate.py checkpoint=FILE split=test (see the README)."""

from detector.command import command
from detector.evaluation.run import run

if __name__ == "__main__":
    command("evaluate", run)
