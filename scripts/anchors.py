"""Finds the anchors that fit a data set: python scripts/anchors.py data=voc data.root=FOLDER image_size=320."""

from detector import config
from detector.command import command


def main(settings: config.Anchors) -> None:
    """Imports late: a misspelt key is answered at once."""
    from detector.data.anchors import find

    find(settings)


if __name__ == "__main__":
    command("anchors", main)
