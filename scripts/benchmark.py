"""`python scripts/benchmark.py ...` is `detector benchmark ...`."""

from detector.cli.main import script

if __name__ == "__main__":
    script("benchmark")
