"""Draws training images as the model sees them: python scripts/browse_data.py data=voc data.root=FOLDER augment=mosaic."""

from detector import config
from detector.command import command


def main(settings: config.BrowseData) -> None:
    """Imports late: a misspelt key is answered at once."""
    from detector.training.browse import browse

    browse(settings)


if __name__ == "__main__":
    command("browse_data", main)
