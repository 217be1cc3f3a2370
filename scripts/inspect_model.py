"""`python scripts/inspect_model.py ...` is `detector inspect_model ...`."""

from detector.cli.main import script

if __name__ == "__main__":
    script("inspect_model")
