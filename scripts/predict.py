"""Detects objects in images or a video: python scripts/predict.py checkpoint=FILE source=PATH (see the README)."""

from detector.command import command
from detector.inference.predict import predict

if __name__ == "__main__":
    command("predict", predict)
