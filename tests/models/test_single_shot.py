from collections.abc import Callable
from typing import Any

import pytest
import torch

from detector import config
from detector.checkpoint import build
from detector.models.detector import Normalise
from detector.models.single_shot import SingleShot
from detector.nms import KINDS, NMS
from detector.targets import Target, Targets


def target(boxes: list[list[float]], labels: list[int], crowd: list[bool] | None = None) -> Target:
    count = len(labels)
    return Target(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        crowd=torch.tensor(crowd or [False] * count, dtype=torch.bool),
        area=torch.ones(count),
        image_id=0,
        original_size=(96, 96),
        transform=torch.eye(3),
    )


@pytest.fixture
def detector(tiny: Callable[..., config.Train]) -> torch.nn.Module:
    torch.manual_seed(0)
    return build(tiny(), classes=5)


def images(count: int, side: int = 96) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


def test_normalise_equals_torchvisions_transform() -> None:
    from torchvision.transforms.functional import normalize

    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    pictures = images(2)[..., :80]
    expected = normalize(pictures / 255, mean, std)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        for given in (pictures, pictures.float()):
            normalised = Normalise(mean, std)(given.contiguous(memory_format=memory_format))
            torch.testing.assert_close(normalised, expected)
            assert normalised.is_contiguous(memory_format=memory_format)


def test_normalise_leaves_the_pixels_that_it_is_given() -> None:
    pictures = images(2).float()
    before = pictures.clone()
    Normalise([0.5] * 3, [0.2] * 3)(pictures)
    assert torch.equal(pictures, before)


def test_forward_gives_the_same_raw_predictions_in_training_and_evaluation_mode_but_for_norm(
    tiny: Callable[..., config.Train],
) -> None:
    settings = tiny(
        backbone=config.CSPDarknetOptions(depth=0.33, width=0.125, norm="group"),
        neck=config.PANOptions(depth=0.33, width=0.125, norm="group"),
        head=config.AnchorFreeHeadOptions(norm="group"),
    )
    detector = build(settings, classes=5)
    pictures = images(2)
    trained, evaluated = detector.train()(pictures), detector.eval()(pictures)
    for name in trained:
        torch.testing.assert_close(trained[name], evaluated[name])


def test_images_may_be_wider_than_high(detector: Any) -> None:
    wide = images(1, 128)[:, :, :64]
    raw = detector.eval()(wide)
    points = detector.head.points((64, 128), wide.device)
    expected = [
        [(column + 0.5) * stride, (row + 0.5) * stride]
        for stride in (8, 16, 32)
        for row in range(64 // stride)
        for column in range(128 // stride)
    ]
    assert points.centres.tolist() == expected
    assert raw["class_logits"].shape[1] == len(expected)
    losses = detector.losses(wide, [target([[80, 8, 120, 56]], [1])])
    assert all(loss.isfinite() for loss in losses.values())
    with torch.no_grad():  # an object is seen at the one point that says so
        seen = [i for i, (x, y) in enumerate(expected) if (x, y) == (100.0, 36.0)]
        boxes = detector.head.decode(raw["box_logits"], points)[0, seen]
        raw["class_logits"].fill_(-20.0)
        raw["class_logits"][0, seen, 3] = 20.0
        detector.forward = lambda _: raw
        (found,) = detector.detect(wide)
    assert len(found.boxes[found.scores > 0.5]) == len(seen) == 1
    torch.testing.assert_close(found.boxes[:1], boxes.clamp(torch.zeros(4), torch.tensor([128.0, 64.0, 128.0, 64.0])))


def test_losses_of_a_batch_equal_those_of_its_images_weighted_by_their_targets(detector: torch.nn.Module) -> None:
    """Sums over the batch, divided by one total: nothing of one image leaks into another."""
    detector.eval()
    pictures = images(3)
    targets = [
        target([[10, 10, 50, 60], [30, 20, 80, 70]], [0, 3]),
        target([], []),
        target([[5, 40, 40, 90]], [1]),
    ]
    unnormalised = {"class": 0.0, "box": 0.0, "distribution": 0.0}
    weight = 0.0
    for i in range(3):
        raw = detector(pictures[i : i + 1])
        points = detector._points(pictures)  # type: ignore[operator]
        boxes = detector.head.decode(raw["box_logits"], points)  # type: ignore[union-attr, operator]
        objects = Targets([targets[i]]).objects
        candidates = detector.criterion.candidates(points, objects)  # type: ignore[union-attr, operator]
        scores = raw["class_logits"].sigmoid()
        found = detector.criterion.assigner(scores, boxes, points, objects, candidates)  # type: ignore[union-attr, operator]
        total = found.scores.sum().item()
        for name, loss in detector.losses(pictures[i : i + 1], [targets[i]]).items():  # type: ignore[operator]
            unnormalised[name] += loss.item() * max(total, 1.0)
        weight += total
    for name, loss in detector.losses(pictures, targets).items():  # type: ignore[operator]
        assert loss.item() == pytest.approx(unnormalised[name] / max(weight, 1.0), rel=1e-4)


def test_detections_of_a_batch_equal_those_of_its_images(detector: torch.nn.Module) -> None:
    detector.eval().double()  # in which no rounding decides between scores that are almost equal
    pictures = images(3)
    together = detector.detect(pictures)  # type: ignore[operator]
    for i, found in enumerate(together):
        (alone,) = detector.detect(pictures[i : i + 1])  # type: ignore[operator]
        torch.testing.assert_close(found.boxes, alone.boxes, atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(found.scores, alone.scores, atol=1e-5, rtol=1e-4)


def test_detections_come_best_first_and_no_more_than_asked(detector: torch.nn.Module) -> None:
    detector.eval()
    (found,) = detector.detect(images(1))  # type: ignore[operator]
    assert 0 < len(found) <= 100
    assert (found.scores.diff() <= 0).all()
    assert (found.scores > 0.001).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_configured_suppression_is_what_detect_does(tiny: Callable[..., config.Train], kind: str) -> None:
    model = config.SingleShotOptions(suppression=kind, iou_threshold=0.3, soft_sigma=0.2, max_detections=40)
    detector: Any = build(tiny(model=model), classes=5).eval()
    pictures = images(1)
    with torch.no_grad():
        raw = detector(pictures)
        assert isinstance(detector, SingleShot)
        boxes = detector.head.decode(raw["box_logits"], detector._points(pictures))[0]
    expected = NMS(kind, 0.3, max_detections=40, sigma=0.2)(boxes, raw["class_logits"][0].sigmoid())
    (found,) = detector.detect(pictures)
    torch.testing.assert_close(found.boxes, expected.boxes)
    torch.testing.assert_close(found.scores, expected.scores)


@pytest.mark.parametrize("everything_crowd", [False, True])
def test_no_object_in_a_batch_gives_finite_losses_and_gradients(
    detector: torch.nn.Module, everything_crowd: bool
) -> None:
    nothing = target([[10, 10, 50, 50]], [1], [True]) if everything_crowd else target([], [])
    losses = detector.losses(images(2), [nothing, nothing])  # type: ignore[operator]
    assert losses["box"].item() == 0.0
    sum(losses.values()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in detector.parameters())


def test_two_thousand_objects_in_an_image(detector: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(2000, 2, generator=generator) * 80
    boxes = torch.cat([low, low + torch.rand(2000, 2, generator=generator) * 15 + 1], dim=1)
    crowded = target(boxes.tolist(), torch.randint(0, 5, (2000,), generator=generator).tolist())
    losses = detector.losses(images(1), [crowded])  # type: ignore[operator]
    assert all(loss.isfinite() for loss in losses.values())


def test_crowds_are_not_trained_on(detector: torch.nn.Module) -> None:
    detector.eval()
    pictures = images(1)
    with_crowd = target([[10, 10, 50, 60], [0, 0, 90, 90]], [0, 3], [False, True])
    without = target([[10, 10, 50, 60]], [0])
    for name, loss in detector.losses(pictures, [with_crowd]).items():  # type: ignore[operator]
        assert loss.item() == detector.losses(pictures, [without])[name].item()  # type: ignore[operator]
