from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from detector.models.regions.warp import warp, with_context


def picture(height: int = 60, width: int = 80) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8).astype(np.float32)


def warped(image: np.ndarray, box: list[float], size: int, context: float = 0.0) -> np.ndarray:
    planes = torch.from_numpy(image).permute(2, 0, 1)[None]
    return warp(planes, [torch.tensor([box])], size, context)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize(("box", "size"), [([10, 8, 42, 40], 32), ([4, 6, 68, 38], 32), ([0, 0, 80, 60], 20)])
def test_a_region_that_shrinks_is_averaged_as_opencv_does(box: list[int], size: int) -> None:
    image = picture()
    x1, y1, x2, y2 = box
    expected = cv2.resize(image[y1:y2, x1:x2], (size, size), interpolation=cv2.INTER_AREA)
    assert np.allclose(warped(image, [float(v) for v in box], size), expected, atol=1e-3)


def test_a_region_that_grows_is_interpolated_as_opencv_does() -> None:
    image = picture()
    expected = cv2.resize(image[10:26, 20:52], (64, 64), interpolation=cv2.INTER_LINEAR)
    found = warped(image, [20.0, 10.0, 52.0, 26.0], 64)
    # at its border OpenCV's crop repeats the last pixel, where the region's neighbours are seen here
    assert np.allclose(found[2:-2, 1:-1], expected[2:-2, 1:-1], atol=1e-3)


def test_the_rim_shows_what_lies_beside_the_region() -> None:
    grown = with_context(torch.tensor([[20.0, 10.0, 52.0, 42.0]]), context=0.25)
    assert grown.tolist() == [[4.0, -6.0, 68.0, 58.0]]
    # the paper's numbers: 16 of 227 pixels on each side leave 195 for the region
    (x1, _, x2, _) = with_context(torch.tensor([[0.0, 0.0, 195.0, 195.0]]), context=16 / 227)[0].tolist()
    assert (x1, x2) == (pytest.approx(-16, abs=1e-3), pytest.approx(211, abs=1e-3))
    image = picture()
    found = warped(image, [20.0, 20.0, 36.0, 36.0], 32, context=0.25)
    assert np.allclose(found, image[12:44, 12:44], atol=1e-3)


def test_outside_the_image_is_the_mean_colour() -> None:
    image = np.full((40, 40, 3), 9.0, dtype=np.float32)
    found = warped(image, [0.0, 0.0, 40.0, 40.0], 80, context=0.25)
    assert (found[:18] == 0).all()
    assert (found[:, -18:] == 0).all()
    assert np.allclose(found[21:-21, 21:-21], 9.0)


def test_regions_of_each_image_are_cut_from_it_in_their_order() -> None:
    images = torch.stack([torch.full((3, 50, 50), float(value)) for value in (1, 2, 3)])
    box = torch.tensor([[10.0, 10, 30, 30]])
    found = warp(images, [box.repeat(2, 1), box[:0], box], 64, 0.0)
    assert found.shape == (3, 3, 64, 64)
    assert found.mean(dim=(1, 2, 3)).tolist() == [1, 1, 3]


def test_a_region_of_one_pixel_is_that_pixel() -> None:
    image = picture()
    found = warped(image, [30.0, 30.0, 31.0, 31.0], 65)
    assert np.allclose(found[32, 32], image[30, 30], atol=1e-3)
