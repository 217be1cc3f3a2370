"""Makes a checkpoint of a published model: python scripts/import_darknet.py model.cfg=FILE model.weights=FILE names=FILE."""

from detector.script import script

if __name__ == "__main__":
    script("import_darknet", "detector.training.import_darknet:import_darknet")
