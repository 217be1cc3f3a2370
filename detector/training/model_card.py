"""`MODEL_CARD.md`: what goes with the weights of a run when they are given to somebody (Mitchell et al. 2019)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detector import config
from detector.data.index import Index
from detector.output import write_text
from detector.training.run_page.differences import chosen_parts, differences

MODEL_CARD = "MODEL_CARD.md"
FEW_OBJECTS = 50
"""Training objects of a class below which the card calls it one with few."""
_TO_FILL_IN = "## To fill in"
_FIELDS = """
What the run cannot know. The text below this heading stays as it is when the card is written again.

- Licence of the weights:
- Licence and source of the training data:
- Intended use, and what the model is not to be used for:
- Who is in the pictures, and whether they agreed:
- Contact:
"""
_ERROR_KINDS = {
    "classification": "right place, wrong class",
    "localisation": "right class, box too far off",
    "both": "wrong class, and box too far off",
    "duplicate": "object found once more",
    "background": "nothing is there",
    "missed": "object not found",
}


@dataclass(frozen=True)
class CardContent:
    """What a card is made of."""

    settings: config.Train
    folder: Path
    checkpoint: str
    """File name of the weights that the figures are of."""
    train: Index
    val: Index
    metrics: Mapping[str, Any]
    """As in `metrics.json`."""
    analysis: Mapping[str, Any] | None
    """As in `analysis.json`; None where it was not asked for."""
    device: str
    """What the run was trained on, in words."""


def write_model_card(content: CardContent) -> Path:
    """Writes the card into the run folder. What a user has filled in in an earlier one stays."""
    path = content.folder / MODEL_CARD
    earlier = path.read_text(encoding="utf-8") if path.is_file() else ""
    filled_in = earlier.partition(f"{_TO_FILL_IN}\n")[2] or _FIELDS
    write_text(path, f"{model_card(content)}\n{_TO_FILL_IN}\n{filled_in}")
    return path


def model_card(content: CardContent) -> str:
    """The card as Markdown, without what is to be filled in."""
    settings, metrics = content.settings, content.metrics
    parts = ", ".join(
        name for part, name in chosen_parts(settings).items() if part in ("model", "backbone", "neck", "head")
    )
    names = content.train.class_names
    sections = [
        f"# {_plain(settings.name)}/{content.folder.name}",
        f"A detector of {len(names)} classes ({parts}; {metrics['parameters']:,} parameters) for images of "
        f"{settings.image_size} pixels, trained with detector {_version(content.folder)}.",
        *("## How to load it", _loading(content)),
        *("## Figures", _figures(content)),
        *("## Data", _data(content)),
        *("## Speed", _speed(content)),
        *("## Limits", _limits(content)),
        *("## How it was made", _making(content)),
    ]
    return "\n\n".join(sections) + "\n"


def _loading(content: CardContent) -> str:
    plugins = content.settings.plugins
    given = f", plugins={plugins!r}" if plugins else ""
    return f"""```python
import detector

model = detector.load("{content.checkpoint}"{given})  # runs no code that the file names
found = model.predict("IMAGE")
found.boxes, found.scores, [model.class_names[label] for label in found.labels]
```

or `detector predict checkpoint={content.checkpoint} source=FOLDER`. Boxes are x1, y1, x2, y2 in pixels of the image."""


def _figures(content: CardContent) -> str:
    metrics, analysis = content.metrics, content.analysis
    interval = analysis and analysis["ap_interval"]
    spread = (
        f", with a 95 % interval of {max(interval['low'], 0.0):.3f} to {interval['high']:.3f} over other images of the same "
        f"kind (bootstrap of {interval['resamples']} resamples)"
        if interval
        else ""
    )
    text = [
        f"On the {len(content.val):,} validation images AP is {_number(metrics['AP'])}{spread}. The weights are those of epoch "
        f"{metrics['best_epoch']} of {metrics['epochs']}, chosen by AP on these very images, so that the figures are a little "
        "too good; `detector evaluate split=test` measures on images that nothing was chosen on.",
        _table(
            [
                ["AP", "AP50", "AP75", "small", "medium", "large", "AR100"],
                [_number(metrics[key]) for key in ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100")],
            ]
        ),
    ]
    if analysis and (tide := analysis.get("tide")):
        gains = tide["delta_ap"]
        rows = [
            [name, meaning, str(tide["counts"][name]), _number(gains[name])]
            for name, meaning in _ERROR_KINDS.items()
            if name in gains and name in tide["counts"]
        ]
        if rows:
            text += [
                "What AP50 would gain if errors of a kind were mended (TIDE, Bolya et al. 2020):",
                _table([["error", "meaning", "number", "gain"], *rows]),
            ]
    return "\n\n".join(text)


def _data(content: CardContent) -> str:
    data = content.settings.data
    train, val = _objects(content.train), _objects(content.val)
    per_class = content.metrics["per_class"]
    root = getattr(data, "root", None)
    rows = [["class", "objects in train", "objects in val", "AP", "AP50"]]
    for label, name in enumerate(content.train.class_names):
        own = per_class[name]
        rows.append([_plain(name), f"{train[label]:,}", f"{val[label]:,}", _number(own["AP"]), _number(own["AP50"])])
    where = f", from {_plain(str(root))}" if root else ""
    kind = f" ({data.name}{where})" if data is not None else ""
    return (
        f"{len(content.train):,} training images with {sum(train):,} objects, {len(content.val):,} validation images with "
        f"{sum(val):,}{kind}. `detector check_data` says what is in them and what is wrong with them.\n\n{_table(rows)}"
    )


def _speed(content: CardContent) -> str:
    metrics = content.metrics
    rate = metrics["images_per_second"]
    trained = f"Trained in {metrics['train_seconds']:,.0f} s" + (f", {rate:.1f} images a second" if rate else "")
    return f"{trained} ({content.device}). The speed of prediction was not measured; `detector benchmark` does."


def _limits(content: CardContent) -> str:
    metrics, names = content.metrics, content.train.class_names
    counts = _objects(content.train)
    lines = [
        f"It knows these {len(names)} classes alone, and calls whatever looks most like one of them by its name.",
        "It was measured on images of the same source as those that it was trained on; on others it may find less.",
    ]
    few = [f"{_plain(name)} ({count})" for name, count in zip(names, counts, strict=True) if count < FEW_OBJECTS]
    if few:
        lines.append(f"Classes with fewer than {FEW_OBJECTS} training objects: {_listed(few)}.")
    known = [(own["AP"], name) for name, own in metrics["per_class"].items() if own["AP"] is not None]
    if len(known) > 1:
        worst = [f"{_plain(name)} ({ap:.3f})" for ap, name in sorted(known)[:3]]
        lines.append(f"The classes with the lowest AP: {_listed(worst)}.")
    unmeasured = [_plain(name) for name, own in metrics["per_class"].items() if own["AP"] is None]
    if unmeasured:
        lines.append(
            f"Classes that the validation images lack, so that nothing is known of them: {_listed(unmeasured)}."
        )
    sizes = {name: metrics[key] for name, key in (("small", "APs"), ("medium", "APm"), ("large", "APl"))}
    if all(value is not None for value in sizes.values()):
        worst_size = min(sizes, key=lambda one: sizes[one])
        lines.append(f"Of small, medium and large objects it is worst at {worst_size} ones.")
    return "\n".join(f"- {line}" for line in lines)


def _making(content: CardContent) -> str:
    rows = [["key", "value", "default"]]
    rows += [[f"`{one.key}`", _plain(one.value), _plain(one.default)] for one in differences(content.settings)]
    return (
        "`config.yaml` in the run folder has all settings, `environment.json` the versions. Those that are no defaults:\n\n"
        f"{_table(rows)}"
    )


def _objects(index: Index) -> list[int]:
    """Objects of each class that are no crowd."""
    counted = np.bincount(index.labels[~index.crowd], minlength=len(index.class_names))
    return [int(one) for one in counted]


def _version(folder: Path) -> str:
    environment = folder / "environment.json"
    if not environment.is_file():
        return ""
    packages = json.loads(environment.read_text(encoding="utf-8"))["packages"]
    return f"{packages['detector']} and torch {packages['torch']}"


def _listed(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, f"|{'---|' * len(rows[0])}", *body])


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, in a cell of a table too."""
    text = " ".join(text.split())
    for sign in _MARKUP:
        text = text.replace(sign, f"\\{sign}")
    return text.replace("<", "&lt;")


_MARKUP: Iterable[str] = "\\`*_[]|#"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
