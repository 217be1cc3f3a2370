import math
import random

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from detector import config
from detector.cli.schema import register_schemas, to_object
from detector.command_line import CONFIGS
from detector.data.anchors import box_sizes, cluster, find, measure
from detector.data.dataset import DetectionDataset
from detector.data.read import read_index
from detector.errors import UserError

Shape = tuple[float, float]


def iou(a: Shape, b: Shape) -> float:
    overlap = min(a[0], b[0]) * min(a[1], b[1])
    return overlap / (a[0] * a[1] + b[0] * b[1] - overlap)


def mean_best_iou(boxes: list[Shape], anchors: list[Shape]) -> float:
    return sum(max(iou(box, anchor) for anchor in anchors) for box in boxes) / len(boxes)


def k_means_with_loops(boxes: list[Shape], anchors: list[Shape]) -> float:
    best = 0.0
    for _ in range(20):
        best = max(best, mean_best_iou(boxes, anchors))
        members: list[list[Shape]] = [[] for _ in anchors]
        for box in boxes:
            members[max(range(len(anchors)), key=lambda k: iou(box, anchors[k]))].append(box)
        anchors = [
            (sum(w for w, _ in own) / len(own), sum(h for _, h in own) / len(own)) if own else anchor
            for own, anchor in zip(members, anchors, strict=True)
        ]
    return best


@pytest.mark.parametrize("seed", range(3))
def test_no_random_restart_of_a_loop_finds_better_anchors(seed: int) -> None:
    rng = random.Random(seed)
    shapes = [(8.0, 12.0), (30.0, 20.0), (25.0, 70.0), (110.0, 60.0)]
    boxes = [(w * math.exp(rng.gauss(0, 0.25)), h * math.exp(rng.gauss(0, 0.25))) for w, h in shapes for _ in range(4)]
    found = cluster(torch.tensor(boxes), 3, seed=0)
    best = max(k_means_with_loops(boxes, rng.sample(boxes, 3)) for _ in range(60))
    assert mean_best_iou(boxes, [(w, h) for w, h in found.tolist()]) >= best - 1e-6


def test_clusters_that_lie_apart_are_found_to_within_their_width() -> None:
    centres = torch.tensor([[10.0, 12.0], [40.0, 20.0], [100.0, 150.0]])
    noise = torch.rand(300, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    sizes = centres.repeat_interleave(100, dim=0) + noise
    means = torch.stack([part.mean(dim=0) for part in sizes.double().split(100)])
    torch.testing.assert_close(cluster(sizes, 3, seed=1), means, atol=0.3, rtol=0)


def test_more_boxes_than_the_starts_are_tried_on_all_have_their_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detector.data.anchors.SAMPLE", 20)
    sizes = torch.cat([torch.full((500, 2), 10.0), torch.full((500, 2), 80.0)])
    sizes += torch.rand(1000, 2, generator=torch.Generator().manual_seed(0))
    means = torch.stack([part.mean(dim=0) for part in sizes.double().split(500)])
    torch.testing.assert_close(cluster(sizes, 2, seed=0), means, atol=0.3, rtol=0)


def test_the_fit_is_what_a_loop_counts() -> None:
    rng = random.Random(0)
    boxes = [(rng.uniform(5, 90), rng.uniform(5, 90)) for _ in range(50)]
    anchors = [(10.0, 10.0), (60.0, 30.0)]
    fit = measure(torch.tensor(boxes), torch.tensor(anchors), 0.5)
    assert fit.mean_iou == pytest.approx(mean_best_iou(boxes, anchors), rel=1e-5)
    assert fit.recall == pytest.approx(sum(max(iou(b, a) for a in anchors) > 0.5 for b in boxes) / 50)


def test_box_sizes_are_those_of_the_letterboxed_targets_without_crowds() -> None:
    index = read_index(config.Shapes(train_images=12, scene_size=96), "train")
    index.crowd[::3] = True
    dataset = DetectionDataset(index, 160)
    expected = []
    for i in range(len(index)):
        target = dataset[0, i][1]
        expected.append((target.boxes[:, 2:] - target.boxes[:, :2])[~target.crowd])
    torch.testing.assert_close(box_sizes(index, 160).float(), torch.cat(expected), rtol=1e-4, atol=1e-3)


def test_the_printed_override_composes_and_gives_these_anchors(capsys: pytest.CaptureFixture[str]) -> None:
    settings = config.Anchors(data=config.Shapes(train_images=20), image_size=128, levels=2, per_level=2)
    report = find(settings)
    printed = capsys.readouterr().out
    last = printed.splitlines()[-1]
    assert last == report.override
    register_schemas()
    GlobalHydra.instance().clear()
    arguments = [argument.strip("'") for argument in last.split(" ")]
    assert len(arguments) == 2
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composed = to_object(compose("train", ["data=shapes", *arguments]))
    assert composed.head == config.AnchorBasedHeadOptions(anchors=report.anchors)
    assert [len(level) for level in report.anchors] == [2, 2]
    areas = [w * h for level in report.anchors for w, h in level]
    assert areas == sorted(areas)
    assert report.fit.mean_iou > report.default.mean_iou
    assert f"{report.fit.mean_iou:.4f}" in printed
    assert f"{report.fit.recall:.4f}" in printed


def test_the_same_seed_finds_the_same_anchors() -> None:
    settings = config.Anchors(data=config.Shapes(train_images=20), image_size=128)
    assert find(settings) == find(settings)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"levels": 0}, "levels=0: at least 1"),
        ({"per_level": -1}, "per_level=-1: at least 1"),
        ({"image_size": 100}, "image_size=100"),
        ({"per_level": 500}, "boxes of different shape, 1500 anchors need as many"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, int], words: str) -> None:
    settings = config.Anchors(data=config.Shapes(train_images=2), **{"image_size": 128, **changes})
    with pytest.raises(UserError, match=words):
        find(settings)
