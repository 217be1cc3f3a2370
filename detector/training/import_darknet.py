"""`scripts/import_darknet.py`: a published Darknet model as a checkpoint, which evaluation and prediction open."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from detector import config
from detector.build_detector import DetectorOptions
from detector.checkpoint import KEY, build, entry
from detector.darknet.cfg import parse
from detector.darknet.weights import layers_held
from detector.data.images.letterbox import check_image_size
from detector.data.read import read_index
from detector.errors import UserError
from detector.models.darknet import images_line, introduction
from detector.output import output_folder
from detector.resolve import resolve_files
from detector.training.checkpoint_files import WholeFiles
from detector.types import ImageId

COCO_CLASSES = 80
HISTORICAL_NAMES = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
"""Classes that Darknet's coco.names calls as Pascal VOC does, and their names in COCO's own files."""


def import_darknet(given: config.ImportDarknet) -> Path:
    """Writes `best.ckpt`, a checkpoint like that of a run, into a new folder, and returns its path.

    Raises:
        UserError: a file is missing or is not what it should be, the weights are not those of the whole network, the classes
            are not as many as the network predicts, or its input is no square.
    """
    if given.model.weights is None:
        raise UserError("model.weights=FILE must be given: without weights there is nothing to import")
    if layers_held(given.model.weights) is not None:
        raise UserError(
            f"model.weights={given.model.weights}: holds only the first layers, as its name says; "
            "train from it: detector train model=darknet model.weights=..."
        )
    names, category_ids = _classes(given)
    train = resolve_files(
        config.Train(
            data=given.data,  # type: ignore[arg-type]  # evaluation then asks for it
            augment=config.Augment(name="none"),
            model=given.model,
            assigner=config.TaskAlignedAssignerOptions(),
            loss=config.CriterionOptions(name="ciou"),
            optim=config.SGDOptions(),
            trainer=config.Trainer(),
            logger=config.Csv(),
            name="import_darknet",
        )
    )
    model = train.model
    assert isinstance(model, config.DarknetOptions)
    assert model.cfg_text is not None
    train = replace(train, image_size=given.image_size or _image_size(model.cfg, model.cfg_text))
    check_image_size(train.image_size)
    detector: Any = build(train, len(names))
    own = detector.head.predictions[0].classes
    if own != len(names):
        raise UserError(f"{_source(given)}: {len(names)} classes; {given.model.cfg} predicts {own}")

    folder = output_folder(given.output, Path("runs") / "import_darknet")
    file = folder / "best.ckpt"
    content = entry(DetectorOptions.of(train), names, category_ids, train)
    state = {f"detector.{name}": value for name, value in detector.state_dict().items()}
    WholeFiles().save_checkpoint({"state_dict": state, "epoch": 0, KEY: content}, file)
    print(*introduction(model.cfg, model.cfg_text, model.weights, detector.backbone, detector.head), sep="\n")
    print(images_line(model.cfg, model.cfg_text, model.resize, train.image_size))
    print(f"checkpoint: {file}")
    return file


def _classes(given: config.ImportDarknet) -> tuple[tuple[str, ...], tuple[ImageId, ...]]:
    if (given.names is None) == (given.data is None):
        raise UserError(
            "names, data: exactly one must be given, names=FILE with a class on each line or data=... with the same classes"
        )
    if given.data is not None:
        split = next((name for name in ("train", "val", "test") if getattr(given.data, name)), "train")
        index = read_index(given.data, split)
        return index.class_names, index.category_ids
    assert given.names is not None
    try:
        names = tuple(line.strip() for line in Path(given.names).read_text(encoding="utf-8-sig").splitlines())
    except FileNotFoundError as error:
        raise UserError(f"names={given.names}: no such file") from error
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise UserError(f"names={given.names}: is no text file") from error
    names = tuple(name for name in names if name)
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"names={given.names}: {twice} is in it twice")
    if len(names) == COCO_CLASSES and set(HISTORICAL_NAMES) <= set(names):
        read = ", ".join(f"{old} as {new}" for old, new in HISTORICAL_NAMES.items())
        print(f"names: {given.names} has names older than COCO's: read {read}")
        names = tuple(HISTORICAL_NAMES.get(name, name) for name in names)
    return names, tuple(range(1, len(names) + 1))


def _source(given: config.ImportDarknet) -> str:
    return "data" if given.names is None else f"names={given.names}"


def _image_size(cfg: str, text: str) -> int:
    net = parse(text, cfg)[0]
    width, height = net.integer("width", 0), net.integer("height", 0)
    if width != height:
        raise UserError(
            f"image_size=... must be given: {cfg} is made for {width}×{height}, images here are square; "
            f"image_size={max(width, height)} keeps all detail, scores will not be the published ones"
        )
    return width
