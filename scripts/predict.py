"""`python scripts/predict.py ...` is `detector predict ...`."""

from detector.cli.main import script

if __name__ == "__main__":
    script("predict")
