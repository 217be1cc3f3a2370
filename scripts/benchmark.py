"""Speed and memory of any experiment: python scripts/benchmark.py experiment=shapes (see the README)."""

from detector.benchmark.run import run
from detector.command import command

if __name__ == "__main__":
    command("benchmark", run)
