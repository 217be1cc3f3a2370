"""Suggests a learning rate for any experiment: python scripts/find_lr.py experiment=shapes (see the README)."""

from detector import config
from detector.command import command
from detector.data.processes import expect_loading


def main(settings: config.FindLR) -> None:
    """Imports late: a misspelt key is answered at once."""
    expect_loading(settings.data, settings.augment)
    from detector.training.find_lr import find_lr

    find_lr(settings)


if __name__ == "__main__":
    command("find_lr", main)
