"""`python scripts/diagnose.py ...` is `detector diagnose ...`."""

from detector.cli.main import script

if __name__ == "__main__":
    script("diagnose")
