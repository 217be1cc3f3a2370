"""Computes the region proposals of a data set: python scripts/proposals.py data=voc data.root=FOLDER."""

from detector.script import script

if __name__ == "__main__":
    script("proposals", "detector.proposals.report:report")
