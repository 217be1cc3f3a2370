"""Measures a detector as COCO does: python scripts/evaluate.py checkpoint=FILE split=test (see the README)."""

from detector import config
from detector.command import command
from detector.data.processes import expect_loading


def main(settings: config.Evaluate) -> None:
    """Imports late: a misspelt key is answered at once."""
    if settings.checkpoint:
        expect_loading(settings.data)
    from detector.evaluation.run import run

    run(settings)


if __name__ == "__main__":
    command("evaluate", main)
