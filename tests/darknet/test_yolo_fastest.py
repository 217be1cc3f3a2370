"""Yolo-Fastest 1.1, a published pair of files, against what Darknet itself computes from them."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from detector.darknet.head import DarknetHead
from detector.darknet.network import DarknetNetwork
from detector.models.darknet import darknet, introduction

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "darknet"
CFG, WEIGHTS = FOLDER / "yolo-fastest-1.1.cfg", FOLDER / "yolo-fastest-1.1.weights"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"{FOLDER} is not there")

Parts = tuple[DarknetNetwork, DarknetHead]


@pytest.fixture(scope="module")
def parts() -> Parts:
    network, head = darknet(str(CFG), 80, weights=str(WEIGHTS))
    return network.eval(), head.eval()


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    """A photograph and noise: the input, the two maps that AlexeyAB's Darknet computes (`darknet_...`), and the two maps
    of another reader, OpenCV 4.10, which adds 1e-6 to variances, with its decoded predictions."""
    return dict(np.load(FOLDER / "golden" / "yolo-fastest-1.1.npz"))


def features(parts: Parts, golden: dict[str, np.ndarray], image: str) -> dict[str, Tensor]:
    with torch.no_grad():
        return parts[0](torch.from_numpy(golden[f"in_{image}"]))


def test_it_has_the_published_number_of_parameters(parts: Parts) -> None:
    counted = sum(p.numel() for part in parts for p in part.parameters())
    running = sum(b.numel() for part in parts for name, b in part.named_buffers() if "running" in name)
    assert counted + running == 346_062  # Darknet counts the statistics of batch norms too
    assert WEIGHTS.stat().st_size == 20 + 4 * 346_062
    (line, *_) = introduction(str(CFG), CFG.read_text(), str(WEIGHTS), *parts)
    assert "131 layers" in line
    assert "346,062" in line


@pytest.mark.parametrize("image", ["image", "rand"])
def test_raw_maps_are_those_of_darknet_itself(parts: Parts, golden: dict[str, np.ndarray], image: str) -> None:
    with torch.no_grad():
        maps = parts[1].maps(features(parts, golden, image))
    for layer in ("120", "129"):
        np.testing.assert_allclose(maps[layer], golden[f"darknet_{image}_conv_{layer}"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("image", ["image", "rand"])
def test_maps_are_decoded_as_another_reader_decodes_them(
    parts: Parts, golden: dict[str, np.ndarray], image: str
) -> None:
    head = copy.deepcopy(parts[1])
    maps = {name: torch.from_numpy(golden[f"{image}_conv_{name}"]) for name in ("120", "129")}
    for convolution in head.convolutions.values():
        convolution.convolution = convolution.norm = torch.nn.Identity()
    with torch.no_grad():
        raw = head(maps)
    boxes = head.decode(raw["box_logits"], head.points((320, 320), torch.device("cpu")))[0] / 320
    scores = head.scores(raw)[0].numpy()
    # centre, size, objectness, and scores of those classes that are above the other reader's threshold, 0 elsewhere
    expected = np.concatenate([golden[f"{image}_yolo_130"], golden[f"{image}_yolo_121"]])
    centres_and_sizes = torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], dim=1)
    np.testing.assert_allclose(centres_and_sizes, expected[:, :4], atol=1e-5)
    np.testing.assert_allclose(raw["objectness_logits"][0].sigmoid(), expected[:, 4], atol=1e-5)
    kept = expected[:, 5:] > 0
    assert kept.any() == (image == "image")
    np.testing.assert_allclose(scores[kept], expected[:, 5:][kept], atol=1e-5)


def test_for_other_classes_all_but_the_predictions_is_loaded(parts: Parts, golden: dict[str, np.ndarray]) -> None:
    network, head = darknet(str(CFG), 3, weights=str(WEIGHTS))
    expected = features(parts, golden, "image")
    found = features((network.eval(), head), golden, "image")
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert {name: tuple(one.shape[:2]) for name, one in head.maps(found).items()} == {"120": (1, 24), "129": (1, 24)}
    lines = introduction(str(CFG), CFG.read_text(), str(WEIGHTS), network, head)
    assert any("layers 120, 129 are new" in line and "80 classes, the data has 3" in line for line in lines)
