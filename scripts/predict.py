"""Detects objects in images or a video: python scripts/predict.py checkpoint=FILE source=PATH (see the README)."""

from detector import config
from detector.command import command


def main(settings: config.Predict) -> None:
    """Imports late: a misspelt key is answered at once."""
    from detector.inference.predict import predict

    predict(settings)


if __name__ == "__main__":
    command("predict", main)
