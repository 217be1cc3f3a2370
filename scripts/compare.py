"""`python scripts/compare.py ...` is `detector compare ...`."""

from detector.cli.main import script

if __name__ == "__main__":
    script("compare")
