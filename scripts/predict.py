"""Detects objects in images or a video: python scripts/predict.py checkpoint=FILE source=PATH (see the README)."""

from detector.script import script

if __name__ == "__main__":
    script("predict", "detector.inference.predict:predict")
