"""`init=FILE.ckpt`: a new run starts from the weights of another one, as far as they fit, and says how far that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from detector import config
from detector.checkpoint import Checkpoint, build, open_checkpoint
from detector.errors import UserError


@dataclass
class Taken:
    """What of a detector's tensors comes from a checkpoint."""

    whole: list[str] = field(default_factory=list)
    """Tensors taken as they are."""
    rows: list[str] = field(default_factory=list)
    """Tensors with one row a class, of which the rows of the classes that both have are taken."""
    anew: list[str] = field(default_factory=list)
    """Tensors that begin anew because they belong to other classes."""
    missing: list[str] = field(default_factory=list)
    """Tensors that begin anew because the checkpoint has none of that name and shape."""


def new_detector(train: config.Train, class_names: Sequence[str]) -> tuple[nn.Module, list[str]]:
    """The detector that a new run trains, and lines that say what it has taken over of the checkpoint `init`, if given."""
    detector = build(train, len(class_names))
    return detector, [] if train.init is None else start_from(detector, train, class_names)


@torch.no_grad()
def start_from(detector: nn.Module, train: config.Train, class_names: Sequence[str]) -> list[str]:
    """Copies the weights of the checkpoint `train.init` into `detector`, in place, and gives lines that say what was taken.

    A tensor is taken by its name where its shape is the same. One whose shape depends on the number of classes is taken
    whole where the classes are the same in the same order; where it has one row a class, row by row for the classes of the
    same name; otherwise it begins anew. Averaged weights are preferred, as wherever a checkpoint is opened.

    Raises:
        UserError: the file is no checkpoint, or none of its weights fits.
    """
    assert train.init is not None
    checkpoint = open_checkpoint(train.init, "init")
    own = detector.state_dict()
    by_class = _class_dependent(train, len(class_names))
    taken = Taken()
    for name, tensor in own.items():
        given = checkpoint.weights.get(name)
        if name in by_class and tuple(class_names) != checkpoint.class_names:
            shared = _shared_rows(tensor, given, class_names, checkpoint.class_names)
            for row, other in shared:
                tensor[row] = given[other]  # type: ignore[index]  # there are rows only where something was given
            (taken.rows if shared else taken.anew).append(name)
        elif given is None or given.shape != tensor.shape:
            taken.missing.append(name)
        else:
            tensor.copy_(given)
            taken.whole.append(name)
    learned = {name for name, _ in detector.named_parameters()}
    if not learned & {*taken.whole, *taken.rows}:
        raise UserError(
            f"init={checkpoint.path}: none of its weights has the name and the shape of one of this detector's"
        )
    return _lines(checkpoint, train, class_names, taken, own)


def _class_dependent(train: config.Train, classes: int) -> set[str]:
    """Names of the tensors whose shape another number of classes changes."""
    with torch.device("meta"):
        fewer, more = (build(train, count, pretrained=False).state_dict() for count in (classes, classes + 1))
    return {name for name, tensor in fewer.items() if tensor.shape != more[name].shape}


def _shared_rows(
    tensor: Tensor, given: Tensor | None, names: Sequence[str], others: Sequence[str]
) -> list[tuple[int, int]]:
    """(row, row of the checkpoint) of each class that both have, where both tensors have one row a class."""
    if given is None or not tensor.ndim or not given.ndim:
        return []
    if tensor.shape[0] != len(names) or given.shape[0] != len(others) or tensor.shape[1:] != given.shape[1:]:
        return []
    return [(row, others.index(name)) for row, name in enumerate(names) if name in others]


def _lines(
    checkpoint: Checkpoint, train: config.Train, names: Sequence[str], taken: Taken, own: Mapping[str, Tensor]
) -> list[str]:
    anew = []
    if taken.anew:
        anew.append(f"{len(taken.anew)} that depend on the classes ({taken.anew[0]}{', ...' * (len(taken.anew) > 1)})")
    if taken.missing:
        first = f"{taken.missing[0]}{', ...' * (len(taken.missing) > 1)}"
        anew.append(f"{len(taken.missing)} that it has not, or of another shape ({first})")
    shared = [name for name in names if name in checkpoint.class_names]
    rows = ""
    if taken.rows:
        new = [name for name in names if name not in shared]
        rows = f", {len(taken.rows)} for {len(shared)} of {len(names)} classes"
        if new:
            shown = ", ".join(new[:8]) + ", ..." * (len(new) > 8)
            anew.append(f"the rows of {len(new)} classes ({shown})")
    lines = [
        f"init={checkpoint.path}: {len(taken.whole)} of {len(own)} tensors taken over{rows}; "
        f"begins anew: {'; '.join(anew) or 'nothing'}"
    ]
    was, now = checkpoint.options.model, train.model
    if (list(was.mean), list(was.std)) != (list(now.mean), list(now.std)):
        lines.append(
            f"init: its weights are used to images with model.mean={list(was.mean)} model.std={list(was.std)}; "
            f"this run gives them mean={list(now.mean)} std={list(now.std)}"
        )
    return lines
