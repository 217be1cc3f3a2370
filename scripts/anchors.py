"""`python scripts/anchors.py ...` is `detector anchors ...`."""

from detector.cli.main import script

if __name__ == "__main__":
    script("anchors")
