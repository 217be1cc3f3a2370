"""Speed and memory of any experiment: python scripts/benchmark.py experiment=shapes (see the README)."""

from detector.script import script

if __name__ == "__main__":
    script("benchmark", "detector.benchmark.run:run")
