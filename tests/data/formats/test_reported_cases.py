"""Data sets rebuilt from public bug reports on readers of COCO and VOC: each is read right from its folder alone."""

import re
from pathlib import Path

import pytest

from detector import config
from detector.data.formats.layout import complete
from detector.data.problems import cheap_problems, missing_images, summarise
from detector.data.read import read_index

CASES = Path("../shared/cases")

CELL_DOT = ("cell", "dot")
READ = [
    # (folder, classes, images a split, objects a split, what is said of train, what is said of val)
    ("05-voc-difficult-word/data", CELL_DOT, 4, 8, "", ""),
    ("07-coco-group-category/data", CELL_DOT, 4, 8, r"category 0 \(cells\).* no class", ""),
    ("07-coco-group-category/data_same_name", CELL_DOT, 4, 8, r"category 0 \(cell\).* no class", ""),
    ("08-coco-segmentation-only/data", CELL_DOT, 4, 8, "", ""),
    ("08-coco-segmentation-only/data_rle", CELL_DOT, 4, 8, "", ""),
    ("09-coco-windows-paths/data", CELL_DOT, 4, 8, "", ""),
    (
        "09-coco-windows-paths/data_upload",
        CELL_DOT,
        4,
        8,
        "4 images .* ends of their names",
        "4 images .* ends of their",
    ),
    ("14-coco-hash-ids/data", CELL_DOT, 4, 8, "", ""),
    ("20-voc-names-with-spaces/data", CELL_DOT, 4, 8, "", ""),
    ("22-voc-nested-names/data", CELL_DOT, 4, 8, "", ""),
    ("23-coco-val-lists-fewer-classes/data", (*CELL_DOT, "rare"), 4, None, "", "lists 2 of the 3 classes: rare"),
    ("28-coco-area-zero/data", CELL_DOT, 3, 6, "6 × area not annotated", "6 × area not annotated"),
    (
        "37-coco-file-twice/data",
        CELL_DOT,
        None,
        8,
        "4 × file under two ids.*image 0 and image 4",
        "4 × file under two ids",
    ),
    ("38-detections-zero-based/data", None, 4, 8, "", ""),
    ("40-voc-flat-folders/data", CELL_DOT, 3, 6, "", ""),
    ("41-coco-size-before-exif/data", CELL_DOT, 4, 8, "unturned", "unturned"),
]


@pytest.mark.parametrize(("folder", "classes", "images", "objects", "of_train", "of_val"), READ)
def test_the_folder_alone_is_enough_and_everything_in_it_is_read(
    folder: str, classes: tuple[str, ...] | None, images: int | None, objects: int | None, of_train: str, of_val: str
) -> None:
    if not (CASES / folder).exists():
        pytest.skip("no cases")
    data, line = complete(config.Auto(root=str(CASES / folder)))
    assert line is not None
    train = read_index(data, "train")
    val = read_index(data, "val", train.class_names)
    assert classes in (train.class_names, None)
    for index, said in ((train, of_train), (val, of_val)):
        assert images in (len(index), None)
        assert objects in (len(index.boxes), None)
        assert not missing_images(index)
        text = "; ".join([*index.notes, *([summarise(cheap_problems(index))] if cheap_problems(index) else [])])
        assert re.search(said, text) if said else not text, text
        for i in range(len(index)):
            assert index.image(i).shape[:2] == tuple(index.sizes[i])
