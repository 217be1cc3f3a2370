"""The targets of a batch: image by image, and in one piece."""

import pytest
import torch

from detector.targets import Target, Targets, few_sizes
from detector.types import Batch


def target(count: int, seed: int, proposals: int | None = None) -> Target:
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.rand(count, 4, generator=generator)
    crowd = torch.arange(count) % 3 == 1
    labels = torch.randint(0, 1203, (count,), generator=generator)
    proposed = None if proposals is None else torch.rand(proposals, 4, generator=generator)
    return Target(boxes, labels, crowd, boxes[:, 0], f"image {seed}", (9, 7), torch.eye(3), proposed)


EACH = [target(3, 0), target(0, 1, 5), target(11, 2, 0), target(1, 3), target(0, 4)]


def assert_equal(one: Target, other: Target) -> None:
    for name in ("boxes", "labels", "crowd", "area", "transform"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    assert (one.image_id, one.original_size) == (other.image_id, other.original_size)
    assert (one.proposals is None) == (other.proposals is None)
    assert one.proposals is None or torch.equal(one.proposals, other.proposals)  # type: ignore[arg-type]


def test_targets_in_one_piece_are_the_targets_that_they_were() -> None:
    together = Batch(torch.zeros(5, 3, 8, 8, dtype=torch.uint8), EACH).to("cpu").targets
    assert len(together) == 5
    for one, other in zip(together, EACH, strict=True):
        assert_equal(one, other)
    assert_equal(together[-3], EACH[2])
    assert [one.image_id for one in together[1:3]] == ["image 1", "image 2"]
    for one, other in zip(Targets(EACH).without_crowds(), EACH, strict=True):
        assert_equal(one, other.without_crowds())
    for one, other in zip(Targets(EACH).scaled(0.5), EACH, strict=True):
        assert_equal(one, other.scaled(0.5))


def test_objects_know_their_image_and_fillers_belong_to_none() -> None:
    objects = Targets(EACH).scaled(2.0).objects
    number = 15
    assert len(objects.boxes) == len(objects.labels) == few_sizes(number) == 16
    assert objects.images.tolist() == [0] * 3 + [2] * 11 + [3] + [5]
    assert torch.equal(objects.boxes[:number], torch.cat([2 * one.boxes for one in EACH]))
    assert objects.labels[:number].tolist() == torch.cat([one.labels for one in EACH]).tolist()
    crowds = torch.cat([one.crowd for one in EACH])
    assert objects.trained.tolist() == [*(~crowds).tolist(), False]
    assert objects.known.boxes.tolist() == objects.boxes.tolist()
    assert objects.known.trained.tolist() == objects.trained.tolist()


def test_a_batch_without_objects_has_fillers_alone() -> None:
    objects = Targets([target(0, 0), target(0, 1)]).objects
    assert len(objects.boxes) == 8
    assert not objects.trained.any()
    assert objects.images.tolist() == [2] * 8


@pytest.mark.parametrize("number", [*range(70), 1000, 1025, 123_457])
def test_there_are_four_sizes_from_a_power_of_two_to_the_next(number: int) -> None:
    size = few_sizes(number)
    assert max(8, number) <= size <= max(8, number + 1, 1.25 * number)
    assert few_sizes(size) == size


def test_sizes_are_few() -> None:
    assert len({few_sizes(number) for number in range(8, 4097)}) <= 1 + 4 * 9
