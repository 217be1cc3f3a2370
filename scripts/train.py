"""Trains a detector: python scripts/train.py data=voc data.root=FOLDER (see configs/train.yaml and the README)."""

from detector import config
from detector.command import command
from detector.data.processes import expect_loading


def main(settings: config.Train) -> None:
    """Imports late: Lightning takes seconds, a misspelt key is answered at once."""
    expect_loading(settings.data, settings.augment)
    from detector.training.train import train

    train(settings)


if __name__ == "__main__":
    command("train", main)
