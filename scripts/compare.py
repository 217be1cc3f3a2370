"""Puts runs side by side: python scripts/compare.py RUN_FOLDER... output=RESULTS.md (see the README)."""

from detector import config
from detector.command import command


def main(settings: config.Compare) -> None:
    """Imports late: a misspelt key is answered at once."""
    from detector.compare.run import run

    run(settings)


if __name__ == "__main__":
    command("compare", main, positional="runs")
