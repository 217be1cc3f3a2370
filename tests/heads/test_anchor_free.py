import math

import pytest
import torch

from detector.boxes import pairwise_iou
from detector.heads.anchor_free import AnchorFreeHead, boxes_to_distances, distances_to_boxes
from detector.heads.points import make_points
from detector.types import FeatureInfo

FEATURES = FeatureInfo(("P3", "P4", "P5"), (16, 32, 64), (8, 16, 32))
CPU = torch.device("cpu")


def random_features(side: int, batch: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(batch, channels, side // stride, side // stride, generator=generator)
        for name, channels, stride in zip(FEATURES.names, FEATURES.channels, FEATURES.strides, strict=True)
    }


def class_predictions(head: AnchorFreeHead) -> list[torch.nn.Conv2d]:
    return [list(branch.children())[-1] for branch in head.class_branches.values()]  # type: ignore[misc]


def test_points_are_the_centres_of_the_cells_row_by_row() -> None:
    points = make_points((64, 96), (8, 32), CPU)
    expected = [
        ((column + 0.5) * stride, (row + 0.5) * stride, float(stride))
        for stride in (8, 32)
        for row in range(64 // stride)
        for column in range(96 // stride)
    ]
    rows = torch.cat([points.centres, points.strides[:, None]], dim=1).tolist()
    assert [tuple(row) for row in rows] == expected


@pytest.mark.parametrize("bins", [0, 16])
def test_ground_truth_encoded_and_decoded_again_is_the_same_box(bins: int) -> None:
    head = AnchorFreeHead(FEATURES, classes=3, bins=bins)
    points = make_points((320, 320), FEATURES.strides, CPU)
    generator = torch.Generator().manual_seed(0)
    centre = torch.rand(200, 2, generator=generator) * 200 + 60
    half = torch.rand(200, 2, generator=generator) * 50 + 4
    boxes = torch.cat([centre - half, centre + half], dim=1)
    for box in boxes:
        distances = boxes_to_distances(box.expand(len(points.strides), 4), points.centres, points.strides)
        inside = (distances > 0.01).all(dim=1) & (distances < 15).all(dim=1)
        assert inside.any()
        if bins:
            # two neighbouring bins share the probability so that their mean is the distance
            low = distances.clamp(0, bins - 1).floor().clamp(max=bins - 2)
            share = distances.clamp(0, bins - 1) - low
            probability = torch.zeros(*distances.shape, bins)
            probability.scatter_(-1, low.long()[..., None], (1 - share)[..., None])
            probability.scatter_(-1, low.long()[..., None] + 1, share[..., None])
            raw = probability.clamp(min=1e-12).log().flatten(1)
        else:
            raw = torch.log(torch.expm1(distances.clamp(min=1e-6)))  # the inverse of softplus
        decoded = head.decode(raw, points)[inside]
        assert pairwise_iou(decoded, box[None]).min() > 0.99


def test_distances_and_boxes_invert_each_other() -> None:
    points = make_points((64, 64), (8, 16), CPU)
    boxes = torch.rand(len(points.strides), 4) * 64
    back = distances_to_boxes(boxes_to_distances(boxes, points.centres, points.strides), points.centres, points.strides)
    torch.testing.assert_close(back, boxes)


@pytest.mark.parametrize("options", [{}, {"bins": 0}, {"depthwise": True}, {"convolutions": 0}, {"channels": 24}])
def test_raw_predictions_have_a_row_for_each_point(options: dict[str, int]) -> None:
    head = AnchorFreeHead(FEATURES, classes=5, **options)  # type: ignore[arg-type]
    raw = head(random_features(96))
    points = 12 * 12 + 6 * 6 + 3 * 3
    assert raw["class_logits"].shape == (2, points, 5)
    assert raw["box_logits"].shape == (2, points, 4 * max(options.get("bins", 16), 1))


def test_the_rows_of_raw_predictions_are_in_the_order_of_the_points() -> None:
    head = AnchorFreeHead(FEATURES, classes=1, convolutions=0).eval()
    for prediction in class_predictions(head):
        torch.nn.init.zeros_(prediction.bias)  # type: ignore[arg-type]
        torch.nn.init.ones_(prediction.weight)
    features = {name: torch.zeros_like(value) for name, value in random_features(96, batch=1).items()}
    features["P4"][0, 0, 2, 4] = 1.0
    logits = head(features)["class_logits"][0, :, 0]
    points = make_points((96, 96), FEATURES.strides, CPU)
    marked = logits.nonzero().flatten()
    assert points.centres[marked].tolist() == [[4.5 * 16, 2.5 * 16]]
    assert points.strides[marked].tolist() == [16.0]


def test_an_untrained_head_gives_the_prior_probability_everywhere() -> None:
    head = AnchorFreeHead(FEATURES, classes=4, prior_probability=0.02).eval()
    for prediction in class_predictions(head):
        torch.nn.init.zeros_(prediction.weight)
    scores = head(random_features(96))["class_logits"].sigmoid()
    torch.testing.assert_close(scores, torch.full_like(scores, 0.02))
    assert math.isclose(scores[0, 0, 0].item(), 0.02, rel_tol=1e-5)


@pytest.mark.parametrize("bins", [0, 16])
def test_an_untrained_head_gives_boxes_of_about_four_strides(bins: int) -> None:
    head = AnchorFreeHead(FEATURES, classes=4, bins=bins).eval()
    points = make_points((96, 96), FEATURES.strides, CPU)
    boxes = head.decode(head(random_features(96))["box_logits"], points)[0]
    sides = (boxes[:, 2:] - boxes[:, :2]) / points.strides[:, None]
    assert (sides - 4).abs().max() < 0.5


def test_scores_of_half_precision_are_told_apart_in_float32() -> None:
    """Near 1 bfloat16 has steps of 1/256: good detections would tie."""
    head = AnchorFreeHead(FeatureInfo(("P3",), (4,), (8,)), 1)
    logits = torch.arange(4.0, 9.0, 0.25, dtype=torch.bfloat16).reshape(1, -1, 1)
    scores = head.scores({"class_logits": logits})
    torch.testing.assert_close(scores, logits.float().sigmoid())
    assert len(scores.unique()) == logits.numel()
