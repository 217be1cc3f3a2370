import pytest
import torch
from random_scenes import (
    ANCHORS,
    Scene,
    assert_a_batch_is_its_images,
    assert_nothing_is_taken,
    assert_pairs_depend_on_the_number_of_objects_alone,
    assign,
    iou,
    on_predictions,
    scene,
    taken,
    with_duplicates,
)

from detector.assigners.max_iou import MaxIoUAssigner, shape_iou
from detector.boxes import pairwise_iou
from detector.errors import OptionError
from detector.heads.points import make_points


def by_the_paper(one: Scene, iou_threshold: float, ignore_threshold: float) -> tuple[dict[int, int], set[int]]:
    """Point → object, and the ignored points, with loops over all points."""
    points = one.points
    assert points.anchors is not None
    rows = list(zip(points.centres.tolist(), points.strides.tolist(), points.anchors.tolist(), strict=True))
    claims: dict[int, list[tuple[float, int]]] = {}
    for g, (x1, y1, x2, y2) in enumerate(one.objects.tolist()):
        shapes = {}
        for p, ((x, y), stride, (width, height)) in enumerate(rows):
            right, down = (x1 + x2) / 2 - x, (y1 + y2) / 2 - y
            if -stride / 2 <= right < stride / 2 and -stride / 2 <= down < stride / 2:
                # laid on one corner they overlap as much as laid on one centre
                shapes[p] = iou([0, 0, width, height], [0, 0, x2 - x1, y2 - y1])
        best = max(shapes, key=lambda p: shapes[p])
        for p, value in shapes.items():
            if value > iou_threshold or p == best:
                claims.setdefault(p, []).append((-(value + (p == best)), g))
    chosen = {p: min(claim)[1] for p, claim in claims.items()}
    ignored = {
        p
        for p, box in enumerate(one.boxes.tolist())
        if p not in chosen and any(iou(box, other) > ignore_threshold for other in one.objects.tolist())
    }
    return chosen, ignored


SCENES = {
    "few": on_predictions(scene(7, ANCHORS)),
    "many": on_predictions(scene(60, ANCHORS, seed=1)),
    "smaller than a cell": scene(20, ANCHORS, smallest=1, largest=3, seed=2),
    "duplicates": with_duplicates(on_predictions(scene(10, ANCHORS, seed=3))),
    "two thousand": on_predictions(scene(2000, ANCHORS, side=32, largest=30, seed=4)),
    "one": scene(1, ANCHORS, seed=5),
}


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("iou_threshold", [0.213, 1.0])
def test_equals_the_rule_written_with_loops(name: str, iou_threshold: float) -> None:
    one = SCENES[name]
    found = assign(MaxIoUAssigner(iou_threshold, 0.7), one)
    chosen, ignored = by_the_paper(one, iou_threshold, 0.7)
    assert taken(found) == {p: (g, 1.0) for p, g in chosen.items()}
    assert found.ignored is not None
    assert set(found.ignored.nonzero().flatten().tolist()) == ignored
    assert torch.equal(found.weights, found.scores)


def test_something_is_ignored_in_the_scenes_that_are_compared() -> None:
    ignored = [assign(MaxIoUAssigner(), one).ignored for one in SCENES.values()]
    assert sum(mask.sum().item() for mask in ignored if mask is not None) > 10


def test_each_object_has_at_least_one_point_where_no_two_share_a_cell() -> None:
    corners = torch.tensor([[x, y] for x in range(0, 96, 16) for y in range(0, 96, 16)], dtype=torch.float32)
    for side in (0.5, 3.0, 15.0, 90.0):
        centres = corners + 8.5
        crowd = scene(0, ANCHORS)._replace(
            objects=torch.cat([centres - side / 2, centres + side / 2], dim=1),
            labels=torch.zeros(len(corners), dtype=torch.int64),
        )
        owners = {which for which, _ in taken(assign(MaxIoUAssigner(iou_threshold=1.0), crowd)).values()}
        assert owners == set(range(len(corners)))


def test_a_centre_on_the_images_edge_belongs_to_the_last_cell() -> None:
    edge = scene(0, ANCHORS)._replace(objects=torch.tensor([[90.0, 90.0, 102.0, 102.0]]), labels=torch.tensor([0]))
    found = taken(assign(MaxIoUAssigner(), edge))
    assert found
    assert {tuple(edge.points.centres[p].tolist()) for p in found} <= {(92.0, 92.0), (88.0, 88.0)}


def test_no_object_takes_nothing() -> None:
    assert_nothing_is_taken(assign(MaxIoUAssigner(), scene(0, ANCHORS)))


def test_a_batch_is_assigned_as_its_images_are() -> None:
    scenes = on_predictions(scene(7, ANCHORS)), with_duplicates(scene(30, ANCHORS, seed=1)), scene(1, ANCHORS, seed=2)
    assert_a_batch_is_its_images(MaxIoUAssigner(), *scenes)


def test_the_number_of_pairs_depends_on_the_number_of_objects_alone() -> None:
    assert_pairs_depend_on_the_number_of_objects_alone(
        MaxIoUAssigner(), scene(9, ANCHORS), scene(9, ANCHORS, largest=6, seed=1)
    )


def test_shape_iou_is_the_iou_of_boxes_on_one_centre() -> None:
    sizes = torch.rand(40, 2, generator=torch.Generator().manual_seed(0)) * 30 + 1
    boxes = torch.cat([50 - sizes / 2, 50 + sizes / 2], dim=1)
    torch.testing.assert_close(shape_iou(sizes[:, None], sizes), pairwise_iou(boxes, boxes))


def test_degenerate_objects_give_finite_values() -> None:
    flat = scene(0, ANCHORS)._replace(objects=torch.tensor([[10.0, 10.0, 10.0, 10.0]]), labels=torch.tensor([0]))
    assert assign(MaxIoUAssigner(), flat).scores.isfinite().all()


def test_levels_of_other_sides_and_numbers_of_anchors() -> None:
    anchors = (((8.0, 8.0),), ((16.0, 8.0), (8.0, 16.0), (30.0, 30.0)))
    points = make_points((40, 72), (8, 16), torch.device("cpu"), anchors)
    one = scene(12, side=40)
    generator = torch.Generator().manual_seed(0)
    boxes = torch.cat([points.centres - 5, points.centres + 5], dim=1)
    wide = Scene(torch.rand(len(boxes), 3, generator=generator), boxes, points, one.objects, one.labels)
    chosen, _ = by_the_paper(wide, 0.213, 0.7)
    assert taken(assign(MaxIoUAssigner(), wide)) == {p: (g, 1.0) for p, g in chosen.items()}


@pytest.mark.parametrize("options", [{"iou_threshold": 1.5}, {"ignore_threshold": -0.1}])
def test_a_threshold_that_is_no_iou_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=f"{next(iter(options))}=.* from 0 to 1"):
        MaxIoUAssigner(**options)
