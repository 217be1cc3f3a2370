"""A seminar's questions on detection, answered, each with a check: python scripts/seminar.py (see the README)."""

from detector.script import script

if __name__ == "__main__":
    script("seminar", "detector.seminar.run:seminar")
