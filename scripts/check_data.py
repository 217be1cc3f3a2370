"""Counts what a data set holds and lists what is wrong with it: python scripts/check_data.py data=voc data.root=FOLDER."""

from detector import config
from detector.command import command


def main(settings: config.CheckData) -> None:
    """Imports late: a misspelt key is answered at once."""
    from detector.data.check import check

    check(settings)


if __name__ == "__main__":
    command("check_data", main)
