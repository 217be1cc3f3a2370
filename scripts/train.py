"""Trains a detector: python scripts/train.py data=voc data.root=FOLDER (see configs/train.yaml and the README)."""

from detector.script import script

if __name__ == "__main__":
    script("train", "detector.training.train:train")
