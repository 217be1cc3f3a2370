"""Makes a checkpoint of a published model: python scripts/import_darknet.py model.cfg=FILE model.weights=FILE names=FILE."""

from detector import config
from detector.command import command


def main(settings: config.ImportDarknet) -> None:
    """Imports late: a misspelt key is answered at once."""
    from detector.training.import_darknet import import_darknet

    import_darknet(settings)


if __name__ == "__main__":
    command("import_darknet", main)
