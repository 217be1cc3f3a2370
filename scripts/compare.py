"""Puts runs side by side: python scripts/compare.py RUN_FOLDER... output=RESULTS.md (see the README)."""

from detector.script import script

if __name__ == "__main__":
    script("compare", "detector.compare.run:run", positional="runs")
