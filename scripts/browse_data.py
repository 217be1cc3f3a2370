"""`python scripts/browse_data.py ...` is `detector browse_data ...`."""

from detector.cli.main import script

if __name__ == "__main__":
    script("browse_data")
