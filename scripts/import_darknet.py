"""`python scripts/import_darknet.py ...` is `detector import_darknet ...`."""

from detector.cli.main import script

if __name__ == "__main__":
    script("import_darknet")
