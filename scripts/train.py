"""`python scripts/train.py ...` is `detector train ...`."""

from detector.cli.main import script

if __name__ == "__main__":
    script("train")
