"""`python scripts/proposals.py ...` is `detector proposals ...`."""

from detector.cli.main import script

if __name__ == "__main__":
    script("proposals")
