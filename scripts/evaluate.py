"""Measures a detector as COCO does: python scripts/evaluate.py checkpoint=FILE split=test (see the README)."""

from detector import config
from detector.command import command


def main(settings: config.Evaluate) -> None:
    """Imports late: a misspelt key is answered at once."""
    from detector.evaluation.run import run

    run(settings)


if __name__ == "__main__":
    command("evaluate", main)
