import math

import numpy as np
import pytest
import torch
from darknet_files import NET, SMALL
from torch import Tensor

from detector.darknet.cfg import parse
from detector.darknet.head import DarknetHead
from detector.darknet.network import plan_network

CPU = torch.device("cpu")
SIZE = (64, 64)

REGION = (
    NET
    + """
[convolutional]
filters=64
activation=linear
[reorg]
stride=8
[convolutional]
filters=16
activation=linear
[region]
anchors = 1.5,2.5, 3,4
classes=3
num=2
softmax=1
"""
)


def head(text: str, classes: int) -> DarknetHead:
    return DarknetHead(plan_network(parse(text, "some.cfg")), classes)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def raw_maps(built: DarknetHead, numbers: int, seed: int = 0) -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
    """Features that the convolutions, made into identities, hand through, and the maps [anchors, numbers, H, W]."""
    random = np.random.default_rng(seed)
    features, maps = {}, {}
    for one in built.predictions:
        side = SIZE[0] // one.stride
        values = random.normal(0, 2, (len(one.anchors), numbers, side, side)).astype("float32")
        built.convolutions[one.name] = _Identity()
        features[one.name] = torch.from_numpy(values.reshape(1, -1, side, side))
        maps[one.name] = values
    return features, maps


class _Identity(torch.nn.Module):
    convolution = norm = torch.nn.Identity()


def expected(built: DarknetHead, maps: dict[str, np.ndarray], squared: bool, softmax: bool) -> tuple[Tensor, Tensor]:
    """Boxes and scores, a number at a time: cells in rows, the anchors of a cell one after the other."""
    boxes, scores = [], []
    for one in built.predictions:
        anchors, _, rows, columns = maps[one.name].shape
        for row in range(rows):
            for column in range(columns):
                for k in range(anchors):
                    x, y, w, h, objectness, *classes = maps[one.name][k, :, row, column].tolist()
                    cx, cy = (
                        (cell + one.scale * sigmoid(t) - (one.scale - 1) / 2) * one.stride
                        for t, cell in ((x, column), (y, row))
                    )
                    width, height = (
                        anchor * ((2 * sigmoid(t)) ** 2 if squared else math.exp(t))
                        for t, anchor in zip((w, h), one.anchors[k], strict=True)
                    )
                    boxes.append([cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2])
                    total = sum(math.exp(z) for z in classes)
                    each = [math.exp(z) / total if softmax else sigmoid(z) for z in classes]
                    scores.append([sigmoid(objectness) * score for score in each])
    return torch.tensor(boxes), torch.tensor(scores)


@pytest.mark.parametrize(
    ("text", "classes", "squared", "softmax"),
    [
        (SMALL, 2, False, False),
        (SMALL.replace("num=3", "num=3\nnew_coords=1").replace("activation=linear", "activation=logistic"), 2, True, False),
        (REGION, 3, False, True),
    ],
    ids=["yolo", "yolo with new_coords", "region"],
)  # fmt: skip
def test_boxes_and_scores_are_those_of_the_papers_number_by_number(
    text: str, classes: int, squared: bool, softmax: bool
) -> None:
    built = head(text, classes)
    features, maps = raw_maps(built, 5 + classes)
    raw = built(features)
    boxes, scores = expected(built, maps, squared, softmax)
    torch.testing.assert_close(built.decode(raw["box_logits"], built.points(SIZE, CPU))[0], boxes, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(built.scores(raw)[0], scores, rtol=1e-4, atol=1e-5)


def test_masks_choose_anchors_and_levels_come_in_the_order_of_their_strides() -> None:
    built = head(SMALL, 2)
    assert built.strides == (4, 8)
    assert built.anchors == (((4, 5),), ((8, 9), (20, 30)))
    assert [one.scale for one in built.predictions] == [1.0, 1.1]


def test_anchors_of_yolov2_are_counted_in_cells() -> None:
    assert head(REGION, 3).anchors == (((12, 20), (24, 32)),)


def test_predictions_for_another_number_of_classes_are_new() -> None:
    own, other = head(SMALL, 2), head(SMALL, 5)
    assert not own.remade
    assert other.remade
    filters = {name: convolution.convolution.out_channels for name, convolution in other.convolutions.items()}  # type: ignore[union-attr]
    assert filters == {"3": 2 * (5 + 5), "8": 5 + 5}


def test_an_untrained_head_gives_every_point_a_small_objectness_and_its_anchor_as_box() -> None:
    built = head(SMALL, 4)
    features = {"3": torch.rand(1, 12, 8, 8), "8": torch.rand(1, 20, 16, 16)}
    raw = built(features)
    assert raw["objectness_logits"].sigmoid().mean().item() == pytest.approx(0.01, rel=0.2)
    torch.testing.assert_close(raw["class_logits"].sigmoid().mean(), torch.tensor(0.25), atol=0.02, rtol=0)
    points = built.points(SIZE, CPU)
    boxes = built.decode(raw["box_logits"], points)[0]
    assert points.anchors is not None
    torch.testing.assert_close(boxes[:, 2:] - boxes[:, :2], points.anchors, rtol=0.3, atol=0)


def test_a_diverged_network_still_gives_finite_boxes_scores_and_gradients() -> None:
    for text, classes in ((SMALL, 2), (REGION, 3)):
        built = head(text, classes)
        features, _ = raw_maps(built, 5 + classes)
        wild = {name: (1e4 * values).bfloat16().requires_grad_() for name, values in features.items()}
        raw = built(wild)
        boxes, scores = built.decode(raw["box_logits"], built.points(SIZE, CPU)), built.scores(raw)
        assert boxes.isfinite().all()
        assert scores.isfinite().all()
        (boxes.sum() + scores.sum()).backward()
        assert all(one.grad is not None and one.grad.isfinite().all() for one in wild.values())
