"""Computes the region proposals of a data set: python scripts/proposals.py data=voc data.root=FOLDER."""

from detector import config
from detector.command import command


def main(settings: config.Proposals) -> None:
    """Imports late: a misspelt key is answered at once."""
    from detector.proposals.report import report

    report(settings)


if __name__ == "__main__":
    command("proposals", main)
