import torch

from detector.nms import suppress


def brute_force(
    boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor, threshold: float
) -> list[tuple[float, int]]:
    kept: list[int] = []
    for i in sorted(range(len(scores)), key=lambda k: -scores[k].item()):
        rivals = [k for k in kept if labels[k] == labels[i]]
        if all(iou(boxes[i].tolist(), boxes[k].tolist()) <= threshold for k in rivals):
            kept.append(i)
    return [(scores[i].item(), int(labels[i])) for i in kept]


def iou(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union


def random_detections(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    low = torch.rand(count, 2, generator=generator) * 60
    boxes = torch.cat([low, low + torch.rand(count, 2, generator=generator) * 40 + 5], dim=1)
    return boxes, torch.rand(count, generator=generator), torch.randint(0, 3, (count,), generator=generator)


def test_equals_the_brute_force_loop() -> None:
    boxes, scores, labels = random_detections(150)
    found = suppress(boxes, scores, labels, 0.0, 0.5, 1000, 1000)
    kept = list(zip(found.scores.tolist(), found.labels.tolist(), strict=True))
    assert kept == brute_force(boxes, scores, labels, 0.5)
    assert 0 < len(kept) < 150


def test_threshold_candidates_and_maximum_are_kept_to() -> None:
    boxes, scores, labels = random_detections(150)
    assert suppress(boxes, scores, labels, 0.9, 1.0, 1000, 1000).scores.min() > 0.9
    assert len(suppress(boxes, scores, labels, 0.0, 1.0, 40, 1000)) == 40
    best = suppress(boxes, scores, labels, 0.0, 1.0, 1000, 7).scores
    torch.testing.assert_close(best, scores.sort(descending=True).values[:7])


def test_nothing_in_nothing_out() -> None:
    empty = suppress(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), 0.1, 0.5, 10, 10)
    assert len(empty) == 0
