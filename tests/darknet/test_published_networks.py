"""YOLOv3 and YOLOv3-tiny written down from the paper's tables: their sizes are those of the published files."""

import pytest
import torch

from detector.darknet.cfg import parse
from detector.darknet.head import DarknetHead
from detector.darknet.network import DarknetNetwork, plan_network
from detector.darknet.options import check_options

NET = "[net]\nwidth=416\nheight=416\nchannels=3\n"
ANCHORS = "10,13, 16,30, 33,23, 30,61, 62,45, 59,119, 116,90, 156,198, 373,326"
TINY_ANCHORS = "10,14, 23,27, 37,58, 81,82, 135,169, 344,319"


def convolution(filters: int, size: int, stride: int = 1) -> str:
    return f"[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize={size}\nstride={stride}\npad=1\nactivation=leaky\n"


def pool(stride: int) -> str:
    return f"[maxpool]\nsize=2\nstride={stride}\n"


def prediction(mask: str, anchors: str) -> str:
    count = len(anchors.split(",")) // 2
    return (
        "[convolutional]\nsize=1\npad=1\nfilters=255\nactivation=linear\n"
        f"[yolo]\nmask={mask}\nanchors={anchors}\nclasses=80\nnum={count}\nignore_thresh=.7\n"
    )


def upward(filters: int, layer: int) -> str:
    """From before the last prediction's two convolutions, half the size, joined with an earlier layer."""
    return f"[route]\nlayers=-4\n{convolution(filters, 1)}[upsample]\nstride=2\n[route]\nlayers=-1,{layer}\n"


def yolov3_tiny() -> str:
    """Five pools that halve, one that does not; a second map from layer 8."""
    body = "".join(convolution(filters, 3) + pool(2) for filters in (16, 32, 64, 128, 256))
    body += convolution(512, 3) + pool(1) + convolution(1024, 3)
    first = convolution(256, 1) + convolution(512, 3) + prediction("3,4,5", TINY_ANCHORS)
    return NET + body + first + upward(128, 8) + convolution(256, 3) + prediction("0,1,2", TINY_ANCHORS)


def yolov3() -> str:
    """Darknet-53 (table 1 of the paper), then three maps (section 2.3)."""
    body = convolution(32, 3)
    for filters, blocks in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        block = convolution(filters // 2, 1) + convolution(filters, 3) + "[shortcut]\nfrom=-3\nactivation=linear\n"
        body += convolution(filters, 3, stride=2) + blocks * block
    first, second, third = (3 * (convolution(n, 1) + convolution(2 * n, 3)) for n in (512, 256, 128))
    return (
        NET
        + body
        + (first + prediction("6,7,8", ANCHORS) + upward(256, 61))
        + (second + prediction("3,4,5", ANCHORS) + upward(128, 36))
        + (third + prediction("0,1,2", ANCHORS))
    )


@pytest.mark.parametrize(
    ("text", "layers", "trained", "file_bytes", "strides"),
    [
        pytest.param(yolov3_tiny(), 24, 8_852_366, 35_434_956, (16, 32), id="yolov3-tiny"),
        pytest.param(yolov3(), 107, 61_949_149, 248_007_048, (8, 16, 32), id="yolov3"),
    ],
)
def test_parameters_and_bytes_are_the_published_ones(
    text: str, layers: int, trained: int, file_bytes: int, strides: tuple[int, ...]
) -> None:
    with torch.device("meta"):
        sections = parse(text, "some.cfg")
        check_options(sections)
        plan = plan_network(sections)
        parts = [DarknetNetwork(plan), DarknetHead(plan, 80)]
    assert len(plan.layers) == layers
    assert plan.predictions()[0][1].name == "yolo"
    assert parts[1].strides == strides
    parameters = sum(p.numel() for part in parts for p in part.parameters())
    running = sum(b.numel() for part in parts for name, b in part.named_buffers() if "running" in name)
    assert parameters == trained
    assert 20 + 4 * (parameters + running) == file_bytes
