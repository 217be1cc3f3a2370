"""`scripts/browse_data.py`: what an augmentation makes of a data set, on one sheet."""

from __future__ import annotations

from pathlib import Path

from detector import config
from detector.data.dataset import training_samples
from detector.data.images.letterbox import check_image_size
from detector.data.problems import missing_images
from detector.data.read import read_index
from detector.errors import UserError
from detector.output import new_folder, write_picture
from detector.visualization.pictures import batch_picture

SPLITS = ("train", "val", "test")


def browse(settings: config.BrowseData) -> Path:
    """Draws rows × columns images of a split as the first epoch of a training shows them, with boxes and class names.

    The seed alone chooses the images, so that two augmentations can be compared on the same ones. Images whose file is
    missing are left out, as in training.

    Returns:
        The PNG file.

    Raises:
        UserError: a setting cannot be, or the data cannot be read.
    """
    _check(settings)
    index = read_index(settings.data, settings.split)
    missing = {problem.where for problem in missing_images(index)}
    if missing:
        index = index.subset([i for i, file in enumerate(index.files.tolist()) if file not in missing])
        if len(index) == 0:
            raise UserError(
                f"data.{settings.split}: none of its {len(missing)} images is there (first: {min(missing)})"
            )
        print(f"{len(missing)} missing image{'s' * (len(missing) > 1)} left out, the first {min(missing)}")
    count = settings.rows * settings.columns
    batch = training_samples(index, settings.image_size, settings.augment, settings.seed, count)
    picture = batch_picture(batch, index.class_names, most=count, columns=settings.columns)
    name = f"{settings.augment.name}_{settings.split}.png"
    file = Path(settings.output) if settings.output else new_folder(Path("runs") / "browse_data") / name
    write_picture(file, picture)
    print(
        f"{len(batch.targets)} of {len(index)} images of data.{settings.split}, augment={settings.augment.name}, "
        f"{sum(len(target.labels) for target in batch.targets)} boxes: {file}"
    )
    return file


def _check(settings: config.BrowseData) -> None:
    if settings.split not in SPLITS:
        raise UserError(f"split={settings.split}: choose one of {', '.join(SPLITS)}")
    for key in ("rows", "columns"):
        if (value := getattr(settings, key)) < 1:
            raise UserError(f"{key}={value}: must be 1 or more")
    check_image_size(settings.image_size)
    if settings.output is None:
        return
    file = Path(settings.output)
    if file.suffix.lower() != ".png":
        raise UserError(f"output={file}: a PNG file is written; give it a name that ends in .png")
    if file.exists():
        raise UserError(f"output={file}: exists already; name a new file")
    if not file.absolute().parent.is_dir():
        raise UserError(f"output={file}: there is no folder {file.parent}")
