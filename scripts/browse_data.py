"""Draws training images as the model sees them: python scripts/browse_data.py data=voc data.root=FOLDER augment=mosaic."""

from detector.script import script

if __name__ == "__main__":
    script("browse_data", "detector.training.browse:browse")
