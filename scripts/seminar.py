"""A seminar's questions on detection, answered, each with a check: python scripts/seminar.py (see the README)."""

from detector.command import command
from detector.seminar.run import seminar

if __name__ == "__main__":
    command("seminar", seminar)
