from pathlib import Path

import pytest

from detector import config
from detector.data.read import has_test, read_index
from detector.errors import UserError


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (config.Coco(), r"data\.root is not set: give the folder of the coco data set"),
        (config.Voc(), r"data\.root is not set: give the folder of the voc data set"),
        (config.Yolo(), r"data\.root is not set: give the folder of the yolo data set"),
        (config.Coco(root="."), r"data\.train is not set"),
        (config.Yolo(root="tests"), r"data\.root: no data\.yaml in tests; there is .*data/"),
    ],
)
def test_what_is_missing_is_named_by_its_key(data: config.Data, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_index(data, "train")


def test_a_misspelt_folder_is_answered_with_the_nearest_name(tmp_path: Path) -> None:
    for name in ("aardvark", "images_of_cats", "zebra"):
        (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=r"data\.root: no folder .*; .* has images_of_cats/, aardvark/, zebra/$"):
        read_index(config.Voc(root=str(tmp_path / "image_of_cats")), "train")
    with pytest.raises(UserError, match=rf"data\.root: no folder .*; {tmp_path} exists, with aardvark/"):
        read_index(config.Voc(root=str(tmp_path / "none" / "below" / "here")), "train")


def test_vocs_default_name_of_a_test_split_asks_for_nothing(tmp_path: Path) -> None:
    assert not has_test(config.Voc(root=str(tmp_path)))
    assert has_test(config.Voc(root=str(tmp_path), test="test2007"))
    assert not has_test(config.Voc(root=str(tmp_path), test=None))
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "test.txt").touch()
    assert has_test(config.Voc(root=str(tmp_path)))


@pytest.mark.parametrize("choice", config.GROUPS["data"])
def test_every_format_that_can_be_chosen_has_a_reader(choice: type[config.Data]) -> None:
    data = choice(root="/nowhere")
    if isinstance(data, config.Shapes):  # which needs no root
        data.train_images = 0
    with pytest.raises(UserError, match=r"data\.root|data\.train_images"):  # not: no reader
        read_index(data, "train")
