"""`trainer.compile`: another way to compute the same, for every kind of detector. Takes a C++ compiler and minutes."""

import copy
from collections.abc import Callable

import pytest
import torch

from detector import config
from detector.checkpoint import build
from detector.data.module import DetectionData
from detector.models.detector import detect_batch

SIDE = 96
DATA = config.Shapes(scene_size=SIDE, train_images=8, val_images=4, batch_size=4, workers=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        config.SingleShotOptions(),
        config.FasterRCNNOptions(channels=16, width=32),
        config.FastRCNNOptions(channels=16, width=32),
        config.RCNNOptions(sampled_regions=8, max_proposals=60),
    ],
    ids=lambda model: model.name,
)
def test_a_compiled_detector_learns_and_finds_what_it_does_without(
    tiny: Callable[..., config.Train], model: config.ModelOptions
) -> None:
    settings = tiny(data=DATA, image_size=SIDE, model=model)
    proposals = model.proposal_request()
    data = DetectionData.read(DATA, config.Augment(name="none"), SIDE, proposals=proposals)
    batches = list(data.train_dataloader())
    torch.manual_seed(0)
    plain = build(settings, classes=len(data.class_names)).train()
    compiled = copy.deepcopy(plain)
    compiled.compile()
    for batch in batches:
        found = []
        for detector in (plain, compiled):
            torch.manual_seed(1)
            detector.zero_grad()
            losses = detector.losses(batch.images, batch.targets)  # type: ignore[operator]
            torch.stack(list(losses.values())).sum().backward()
            found.append(losses)
        assert found[0].keys() == found[1].keys()
        for name, loss in found[0].items():
            # of two stages the second looks where the first proposes, and rounding moves proposals
            assert found[1][name].item() == pytest.approx(
                loss.item(), rel=1e-4 if model.name == "single_shot" else 1e-3
            ), name
    gradients = zip(plain.named_parameters(), compiled.parameters(), strict=True)
    for (name, one), other in gradients:
        assert one.grad is not None
        assert other.grad is not None
        # rounding grows on its way back through the batch norms of a new network
        assert torch.linalg.norm(other.grad - one.grad) <= 0.02 * torch.linalg.norm(one.grad) + 1e-6, name

    plain.eval()
    compiled.eval()
    (batch,) = list(data.val_dataloader())
    for expected, detections in zip(detect_batch(plain, batch), detect_batch(compiled, batch), strict=True):
        assert len(detections) == len(expected) > 0
        assert torch.allclose(detections.scores, expected.scores, atol=1e-4)
