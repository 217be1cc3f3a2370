import math

import pytest
import torch

from detector import config
from detector.boxes import pairwise_iou
from detector.errors import OptionError
from detector.heads.anchor_based import AnchorBasedHead, boxes_to_offsets, offsets_to_boxes
from detector.types import FeatureInfo

FEATURES = FeatureInfo(("P3", "P4", "P5"), (16, 32, 64), (8, 16, 32))
CPU = torch.device("cpu")
SHARES = [[[0.05, 0.1], [0.1, 0.05]], [[0.2, 0.2]], [[0.5, 0.25], [0.25, 0.5], [0.75, 0.75]]]
PIXELS = (((16.0, 32.0), (32.0, 16.0)), ((64.0, 64.0),), ((160.0, 80.0), (80.0, 160.0), (240.0, 240.0)))


def make_head(classes: int = 3, image_size: int = 320, **options: float) -> AnchorBasedHead:
    torch.manual_seed(0)
    return AnchorBasedHead(FEATURES, classes, SHARES, image_size, **options)  # type: ignore[arg-type]


def random_features(side: int, batch: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(batch, channels, side // stride, side // stride, generator=generator)
        for name, channels, stride in zip(FEATURES.names, FEATURES.channels, FEATURES.strides, strict=True)
    }


def predictions(head: AnchorBasedHead) -> list[torch.nn.Conv2d]:
    return [list(branch.children())[-1] for branch in head.branches.values()]  # type: ignore[misc]


def test_points_are_the_centres_of_the_cells_once_for_each_anchor() -> None:
    points = make_head().points((64, 96), CPU)
    expected = [
        ((column + 0.5) * stride, (row + 0.5) * stride, float(stride), width, height)
        for stride, anchors in zip((8, 16, 32), PIXELS, strict=True)
        for row in range(64 // stride)
        for column in range(96 // stride)
        for width, height in anchors
    ]
    assert points.anchors is not None
    rows = torch.cat([points.centres, points.strides[:, None], points.anchors], dim=1)
    torch.testing.assert_close(rows, torch.tensor(expected))
    for level in points.levels:
        last = level.first + (level.rows * level.columns - 1) * level.per_cell + level.per_cell - 1
        assert points.strides[level.first].item() == points.strides[last].item() == level.stride
        assert points.centres[last].tolist() == [96 - level.stride / 2, 64 - level.stride / 2]


@pytest.mark.parametrize("scale_xy", [1.0, 1.1, 2.0])
def test_ground_truth_encoded_and_decoded_again_is_the_same_box(scale_xy: float) -> None:
    head = make_head(scale_xy=scale_xy)
    points = head.points((320, 320), CPU)
    generator = torch.Generator().manual_seed(0)
    centre = torch.rand(200, 2, generator=generator) * 300 + 10
    half = torch.rand(200, 2, generator=generator) * 100 + 1
    for box in torch.cat([centre - half, centre + half], dim=1):
        offset = ((box[:2] + box[2:]) / 2 - points.centres).abs()
        in_cell = (offset < points.strides[:, None] / 2).all(dim=1)
        assert in_cell.sum() == 6
        raw = boxes_to_offsets(box.expand(len(points.strides), 4), points, scale_xy)
        decoded = head.decode(raw, points)[in_cell]
        assert pairwise_iou(decoded, box[None]).min() > 0.99


def test_decodes_as_the_formula_of_the_paper_in_float64() -> None:
    s = 1.2
    head = make_head(scale_xy=s)
    points = head.points((64, 96), CPU)
    raw = torch.randn(len(points.strides), 4, generator=torch.Generator().manual_seed(0)) * 2
    decoded = head.decode(raw, points).tolist()
    index = 0
    for stride, anchors in zip((8, 16, 32), PIXELS, strict=True):
        for c_y in range(64 // stride):
            for c_x in range(96 // stride):
                for p_w, p_h in anchors:
                    t_x, t_y, t_w, t_h = raw[index].tolist()
                    x = stride * (c_x + s / (1 + math.exp(-t_x)) - (s - 1) / 2)
                    y = stride * (c_y + s / (1 + math.exp(-t_y)) - (s - 1) / 2)
                    w, h = p_w * math.exp(t_w), p_h * math.exp(t_h)
                    expected = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                    assert decoded[index] == pytest.approx(expected, rel=1e-4, abs=1e-2)
                    index += 1
    assert index == len(decoded)


def test_only_with_grid_sensitivity_a_centre_reaches_the_border_of_its_cell() -> None:
    points = make_head().points((64, 64), CPU)
    assert points.anchors is not None
    border = points.centres.clone()
    border[:, 0] += points.strides / 2
    boxes = torch.cat([border - points.anchors / 2, border + points.anchors / 2], dim=1)
    assert boxes_to_offsets(boxes, points, 1.0)[:, 0].isinf().all()
    reached = boxes_to_offsets(boxes, points, 1.1)
    assert reached.isfinite().all()
    # s·σ(t) − (s − 1)/2 = 1  ⇔  σ(t) = (s + 1) / (2s)
    torch.testing.assert_close(reached[:, 0], torch.full_like(reached[:, 0], math.log(2.1 / 0.1)), rtol=1e-3, atol=0)
    torch.testing.assert_close(offsets_to_boxes(reached, points, 1.1), boxes, rtol=1e-4, atol=1e-3)


def test_a_factor_for_each_point_is_that_of_its_level() -> None:
    points = make_head().points((64, 64), CPU)
    raw = torch.randn(len(points.strides), 4, generator=torch.Generator().manual_seed(0))
    factors = torch.where(points.strides == 8, 1.2, 1.05)[:, None]
    both = offsets_to_boxes(raw, points, factors)
    fine = points.strides == 8
    assert torch.equal(both[fine], offsets_to_boxes(raw, points, 1.2)[fine])
    assert torch.equal(both[~fine], offsets_to_boxes(raw, points, 1.05)[~fine])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_no_prediction_is_too_large_to_be_finite(dtype: torch.dtype) -> None:
    head = make_head()
    points = head.points((64, 64), CPU)
    raw = torch.full((len(points.strides), 4), 1e4, dtype=dtype, requires_grad=True)
    boxes = head.decode(raw, points)
    assert boxes.dtype == torch.float32
    area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    area.sum().backward()
    assert area.isfinite().all()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()


@pytest.mark.parametrize("options", [{}, {"convolutions": 0}, {"channels": 24, "convolutions": 2}])
def test_raw_predictions_have_a_row_for_each_point(options: dict[str, int]) -> None:
    head = make_head(classes=5, **options)
    raw = head(random_features(96))
    count = 2 * 12 * 12 + 6 * 6 + 3 * 3 * 3
    assert raw["class_logits"].shape == (2, count, 5)
    assert raw["box_logits"].shape == (2, count, 4)
    assert raw["objectness_logits"].shape == (2, count)
    assert head.points((96, 96), CPU).centres.shape == (count, 2)


def test_the_rows_of_raw_predictions_are_in_the_order_of_the_points() -> None:
    head = make_head(classes=1, convolutions=0).eval()
    for prediction in predictions(head):
        torch.nn.init.zeros_(prediction.bias)  # type: ignore[arg-type]
        torch.nn.init.zeros_(prediction.weight)
    with torch.no_grad():
        predictions(head)[2].weight[1 * 6 + 4] = 1.0  # the objectness of the second anchor of P5
    features = {name: torch.zeros_like(value) for name, value in random_features(96, batch=1).items()}
    features["P5"][0, 0, 1, 2] = 1.0
    marked = head(features)["objectness_logits"][0].nonzero().flatten()
    points = head.points((96, 96), CPU)
    assert points.anchors is not None
    assert points.centres[marked].tolist() == [[2.5 * 32, 1.5 * 32]]
    assert points.anchors[marked].tolist() == [[80.0, 160.0]]


def test_an_untrained_head_gives_its_anchors_with_the_prior_objectness() -> None:
    head = make_head(classes=4, prior_probability=0.02).eval()
    for prediction in predictions(head):
        torch.nn.init.zeros_(prediction.weight)
    raw = head(random_features(96))
    points = head.points((96, 96), CPU)
    assert points.anchors is not None
    boxes = head.decode(raw["box_logits"], points)[0]
    torch.testing.assert_close(boxes[:, 2:] - boxes[:, :2], points.anchors)
    torch.testing.assert_close((boxes[:, 2:] + boxes[:, :2]) / 2, points.centres)
    scores = head.scores(raw)
    torch.testing.assert_close(scores, torch.full_like(scores, 0.02 / 4))


def test_scores_are_objectness_times_class() -> None:
    head = make_head()
    raw = head(random_features(96))
    scores = head.scores(raw)
    for image, point, label in ((0, 5, 0), (1, 300, 2), (0, 350, 1)):
        objectness = 1 / (1 + math.exp(-raw["objectness_logits"][image, point].item()))
        probability = 1 / (1 + math.exp(-raw["class_logits"][image, point, label].item()))
        assert scores[image, point, label].item() == pytest.approx(objectness * probability, rel=1e-5)


def test_anchors_follow_the_size_of_training_images_but_not_that_of_later_ones() -> None:
    small, large = make_head(image_size=160), make_head(image_size=320)
    for side in (160, 320):
        a, b = small.points((side, side), CPU).anchors, large.points((side, side), CPU).anchors
        assert a is not None
        assert b is not None
        torch.testing.assert_close(2 * a, b)
        torch.testing.assert_close(b[-1], torch.tensor([240.0, 240.0]))


def test_the_default_anchors_are_those_of_yolov3() -> None:
    published = [10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326]
    shares = torch.tensor(config.AnchorBasedHeadOptions().anchors).flatten()
    assert (shares * 416).round().tolist() == published


@pytest.mark.parametrize(
    ("anchors", "options", "words"),
    [
        (SHARES[:2], {}, "anchors: has lists for 2 levels, the neck has 3"),
        ([*SHARES[:2], []], {}, "level P5 has none"),
        ([*SHARES[:2], [[16, 32]]], {}, r"anchors: \[16, 32\] of level P5: .*divide pixels by image_size"),
        ([*SHARES[:2], [[0.1]]], {}, r"anchors: \[0.1\] of level P5"),
        ([*SHARES[:2], [[0.1, -0.1]]], {}, "above 0"),
        ([*SHARES[:2], [[0.1, float("nan")]]], {}, "above 0"),
        (SHARES, {"scale_xy": 0.9}, "scale_xy=0.9"),
    ],
)
def test_anchors_that_cannot_be_are_refused(
    anchors: list[list[list[float]]], options: dict[str, float], words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        AnchorBasedHead(FEATURES, 3, anchors, 320, **options)  # type: ignore[arg-type]
