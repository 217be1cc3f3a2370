"""`python scripts/seminar.py ...` is `detector seminar ...`."""

from detector.cli.main import script

if __name__ == "__main__":
    script("seminar")
