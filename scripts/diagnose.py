"""Illnesses of a deep network's gradients and their remedies: python scripts/diagnose.py (see the README)."""

from detector.script import script

if __name__ == "__main__":
    script("diagnose", "detector.health.diagnose:diagnose")
