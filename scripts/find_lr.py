"""`python scripts/find_lr.py ...` is `detector find_lr ...`."""

from detector.cli.main import script

if __name__ == "__main__":
    script("find_lr")
