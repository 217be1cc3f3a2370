"""Trains a detector: python scripts/train.py data=voc data.root=FOLDER (see configs/train.yaml and the README)."""

from detector.command import command
from detector.training.train import train

if __name__ == "__main__":
    command("train", train)
