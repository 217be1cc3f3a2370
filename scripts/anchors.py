"""Finds the anchors that fit a data set: python scripts/anchors.py data=voc data.root=FOLDER image_size=320."""

from detector.script import script

if __name__ == "__main__":
    script("anchors", "detector.data.anchors:find")
