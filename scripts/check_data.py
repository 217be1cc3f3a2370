"""Counts what a data set holds and lists what is wrong with it: python scripts/check_data.py data=voc data.root=FOLDER."""

from detector.script import script

if __name__ == "__main__":
    script("check_data", "detector.data.check:check")
