"""`python scripts/check_data.py ...` is `detector check_data ...`."""

from detector.cli.main import script

if __name__ == "__main__":
    script("check_data")
