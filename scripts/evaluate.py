"""`python scripts/evaluate.py ...` is `detector evaluate ...`."""

from detector.cli.main import script

if __name__ == "__main__":
    script("evaluate")
