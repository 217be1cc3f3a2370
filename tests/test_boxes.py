import pytest
import torch
from torchvision import ops

from detector import boxes as box


def random_boxes(n: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(n, 2, generator=generator, dtype=dtype) * 100
    return torch.cat([corner, corner + torch.rand(n, 2, generator=generator, dtype=dtype) * 50 + 0.5], dim=1)


def test_area_equals_torchvision() -> None:
    boxes = random_boxes(50) - 20
    torch.testing.assert_close(box.area(boxes), ops.box_area(boxes))


def test_pairwise_iou_equals_torchvision() -> None:
    a, b = random_boxes(40, 1), random_boxes(30, 2)
    torch.testing.assert_close(box.pairwise_iou(a, b), ops.box_iou(a, b))


def test_pairwise_iou_of_empty_boxes_is_zero() -> None:
    empty = torch.tensor([[5.0, 5.0, 5.0, 5.0]])
    assert box.pairwise_iou(empty, empty).item() == 0.0
    assert box.pairwise_iou(torch.zeros(0, 4), empty).shape == (0, 1)


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
def test_aligned_iou_equals_the_diagonal_of_torchvisions_matrix(kind: box.IoUKind) -> None:
    a, b = random_boxes(60, 3), random_boxes(60, 4)
    reference = {
        "iou": ops.box_iou,
        "giou": ops.generalized_box_iou,
        "diou": ops.distance_box_iou,
        "ciou": ops.complete_box_iou,
    }[kind](a, b).diagonal()
    torch.testing.assert_close(box.aligned_iou(a, b, kind), reference, atol=1e-6, rtol=0)


def test_a_transformed_box_is_the_hull_of_its_rotated_corners() -> None:
    quarter_turn = torch.tensor([[0.0, -1.0, 100.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    turned = box.transform(torch.tensor([[10.0, 20.0, 30.0, 60.0]]), quarter_turn)
    torch.testing.assert_close(turned, torch.tensor([[40.0, 10.0, 80.0, 30.0]]))
