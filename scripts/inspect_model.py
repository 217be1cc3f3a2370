"""Takes a detector apart into layers: python scripts/inspect_model.py backbone=vgg16 neck=fpn (see the README)."""

from detector import config
from detector.command import command


def main(settings: config.InspectModel) -> None:
    """Imports late: a misspelt key is answered at once."""
    from detector.inspection.run import run

    run(settings)


if __name__ == "__main__":
    command("inspect_model", main)
