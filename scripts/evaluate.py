"""Measures a detector as COCO does: python scripts/evaluate.py checkpoint=FILE split=test (see the README)."""

from detector.script import script

if __name__ == "__main__":
    script("evaluate", "detector.evaluation.run:run")
