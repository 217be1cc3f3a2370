import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from detector.checkpoint import open_checkpoint
from detector.data.read import read_index
from detector.data.split_loader import evaluation_loader
from detector.evaluation.evaluate import evaluate
from detector.models.detector import detect_batch

ROOT = Path(__file__).resolve().parents[2]

OVERRIDES = [
    "data=shapes", "name=pair", "image_size=96", "data.scene_size=96", "data.train_images=16", "data.val_images=7",
    "data.batch_size=4", "data.workers=0", "data.cache=ram", "backbone.width=0.125", "optim.lr=0.003", "trainer.epochs=2",
    "trainer.accelerator=cpu", "trainer.precision=fp32",
]  # fmt: skip


@pytest.mark.slow  # both cores for a minute
@pytest.mark.parametrize(
    "model",
    [
        pytest.param(["neck.width=0.125", "trainer.adversarial=0.5", "data.workers=1"], id="single_shot"),
        pytest.param(
            ["model=faster_rcnn", "neck.width=0.125", "model.channels=16", "model.width=32"],
            id="faster_rcnn",
        ),
        pytest.param(["model=rcnn", "model.sampled_regions=8", "model.max_proposals=60"], id="rcnn"),
        pytest.param(
            ["model=fast_rcnn", "neck.width=0.125", "model.channels=16", "model.width=32"],
            id="fast_rcnn",
        ),
    ],
)
def test_two_processes_train_together_and_measure_what_one_process_measures(model: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "scripts/train.py", *OVERRIDES, *model, f"runs={tmp_path}", "trainer.devices=2"]
    done = subprocess.run(
        [*command, "trainer.strategy=ddp", f"data.proposals={tmp_path / 'proposals'}"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    runs = [path for path in (tmp_path / "pair").iterdir() if not path.is_symlink()]
    assert len(runs) == 1, "both processes write into one run folder"
    metrics = json.loads((runs[0] / "metrics.json").read_text())
    assert done.stdout.count("epoch 2/2:") == 1
    assert done.stderr.count("images in memory") == 2, "one process fills the cache of each split for both"

    checkpoint = open_checkpoint(runs[0] / "best.ckpt")
    settings = checkpoint.run
    assert settings is not None
    index = read_index(settings.data, "val", checkpoint.class_names)
    detector = checkpoint.detector()
    proposals = settings.model.proposal_request()
    searches = 0 if proposals is None else 2  # one line a split: the other process waits for what the first one finds
    assert done.stderr.count("s an image and core") == searches
    results = []
    for batch in evaluation_loader(index, settings.data, settings.image_size, proposals=proposals):
        for target, found in zip(batch.targets, detect_batch(detector, batch), strict=True):
            original = found.to_original(target.transform, target.original_size)
            results += original.to_coco(target.image_id, checkpoint.category_ids)
    assert len(results) > 0
    alone = evaluate(index, results)
    for key in ("AP", "AP50", "AR100"):
        assert metrics[key] == pytest.approx(alone[key], abs=1e-6)
