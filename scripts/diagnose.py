"""Illnesses of a deep network's gradients and their remedies: python scripts/diagnose.py (see the README)."""

from detector.command import command
from detector.health.diagnose import diagnose

if __name__ == "__main__":
    command("diagnose", diagnose)
