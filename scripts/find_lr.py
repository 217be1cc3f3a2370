"""Suggests a learning rate for any experiment: python scripts/find_lr.py experiment=shapes (see the README)."""

from detector.script import script

if __name__ == "__main__":
    script("find_lr", "detector.training.find_lr:find_lr")
