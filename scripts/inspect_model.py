"""Takes a detector apart into layers: python scripts/inspect_model.py backbone=vgg16 neck=fpn (see the README)."""

from detector.script import script

if __name__ == "__main__":
    script("inspect_model", "detector.inspection.run:run")
