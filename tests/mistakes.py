"""Mistakes of the kind that costs accuracy in silence, and the tests that notice each.

    python tests/mistakes.py                 each mistake in turn: red (noticed) or GREEN (not); exit code 1 if one is green
    python tests/mistakes.py ema optim       those whose file or text holds one of the words

Each is planted alone in a copy of the tracked files, where the tests named beside it run without the slow ones. A plain
`pytest` checks that every text to be replaced still stands once in its file (`tests/test_mistakes.py`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Mistake:
    """One replacement of text in one file, and the test files of which one must fail."""

    file: str
    old: str
    new: str
    tests: str

    def planted(self, root: Path) -> str:
        """The file's text with the mistake in it. Raises ValueError where the text does not stand there exactly once."""
        text = (root / self.file).read_text(encoding="utf-8")
        if (count := text.count(self.old)) != 1:
            raise ValueError(f"{self.file}: {self.old!r} stands there {count} times")
        return text.replace(self.old, self.new)


EMA, MODULE, TRAIN = (f"tests/training/test_{name}.py" for name in ("ema", "module", "train"))
OPTIM = "tests/test_optimizers.py"
CRITERION, DFL = "tests/losses/test_criterion.py", "tests/losses/test_distribution_loss.py"
WEIGHTS, RCNN, ROI = (f"tests/models/test_{name}.py" for name in ("loss_weights", "rcnn", "roi_stage"))
FASTER = "tests/models/test_faster_rcnn.py"
DATASET, VOC, MOSAIC, MIXING, AUGMENT = (
    f"tests/data/test_{name}.py" for name in ("dataset", "voc_reader", "mosaic", "mixing", "augment")
)
LETTERBOX, CACHE, SAMPLER, ANCHORS = (
    f"tests/data/test_{name}.py" for name in ("letterbox", "cache", "sampler", "anchors")
)
NECKS, LAYERS, GROUPS, NMS = (
    "tests/necks",
    "tests/test_layers.py",
    "tests/experiments/compare/test_groups.py",
    "tests/test_nms.py",
)
SCHEDULE_FREE, BATCH_NORM = "tests/training/test_schedule_free.py", "tests/training/test_batch_norm.py"
HEADS = "tests/heads"
PAGE = "tests/seminar/test_page_in_browser.py"

_MODULE, _CRITERION, _DATASET = (
    "detector/training/module.py",
    "detector/losses/criterion.py",
    "detector/data/dataset.py",
)

MISTAKES = [
    # averaged weights
    Mistake("detector/training/ema.py", "self.module.state_dict().values(), detector.state_dict().values()",
            "self.module.parameters(), detector.parameters()", EMA),
    Mistake("detector/training/ema.py", "decay = min(self.decay, self._count / (self._count + 9))", "decay = self.decay", EMA),
    Mistake("detector/training/ema.py", "floating], 1 - decay)", "floating], decay)", EMA),
    Mistake("detector/training/ema.py", "self._count = int(self.updates)", "self._count = 0", EMA),
    Mistake("detector/training/ema.py", "(self._count + 9)", "(self._count + 90)", EMA),
    # the training loop
    Mistake(_MODULE, "targets = [target.scaled(new_side / side) for target in targets]", "pass", MODULE),
    Mistake(_MODULE, "self.batches_per_epoch(self.trainer.world_size) / part.accumulate", "self.batches_per_epoch(self.trainer.world_size)", MODULE),
    Mistake(_MODULE, "self.config.optim.warmup_epochs / self.config.trainer.epochs", "self.config.optim.warmup_epochs / total", MODULE),
    Mistake(_MODULE, "torch.nn.utils.clip_grad_norm_(self.detector.parameters(), self.config.trainer.clip, foreach=True)", "pass", MODULE),
    Mistake(_MODULE, "backbone.freeze(part.frozen_stages, part.freeze_norm)", "backbone.freeze(0)", MODULE),
    Mistake(_MODULE, "backbone.freeze(part.frozen_stages, part.freeze_norm)", "backbone.freeze(part.frozen_stages)", MODULE),
    Mistake(_MODULE, "return self.detector if self.ema is None else self.ema.module", "return self.detector", TRAIN),
    # optimizers
    Mistake("detector/optimizers.py", '"weight_decay": 0.0}', '"weight_decay": self.weight_decay}', OPTIM),
    Mistake("detector/optimizers.py", "return AdamW(self.parameter_groups(module), lr=self.lr, betas=(self.momentum, 0.999)", "return AdamW(self.parameter_groups(module), lr=self.lr, betas=(0.9, 0.999)", OPTIM),
    Mistake("detector/optimizers.py", "nesterov=self.momentum > 0", "nesterov=False", OPTIM),
    Mistake("detector/optimizers.py", "if p.ndim > 1]", "if p.ndim > 0]", OPTIM),
    Mistake("detector/optimizers.py", "(step + 1) / (warmup_steps + 1)", "(step + 1) / warmup_steps", OPTIM),
    Mistake("detector/optimizers.py", "if parameter.requires_grad]", "]", OPTIM),
    Mistake("detector/optimizers.py", "betas=(self.momentum, 0.999), warmup_steps=warmup_steps)", "betas=(self.momentum, 0.999))", OPTIM),
    # schedule-free training
    Mistake("detector/training/batch_norm.py", "norm.momentum = None  # type: ignore[assignment]  # torch's word for the plain mean over all batches", "pass", SCHEDULE_FREE),
    Mistake("detector/training/batch_norm.py", "norm.momentum = momentum\n", "pass\n", SCHEDULE_FREE + " " + BATCH_NORM),
    # the criterion
    Mistake(_CRITERION, "self.box_weight * (box_losses * pairs.weights).sum()", "self.box_weight * box_losses.sum()", CRITERION),
    Mistake(_CRITERION, "self.box_weight * (box", "(box", CRITERION),
    Mistake(_CRITERION, "self.class_weight * class_loss", "class_loss", CRITERION),
    Mistake(_CRITERION, "self.objectness_weight * objectness_loss", "objectness_loss", CRITERION),
    Mistake(_CRITERION, "self.distribution_weight * distribution_loss", "distribution_loss", CRITERION),
    Mistake(_CRITERION, "pairs.labels), pairs.scores, accumulate=True)", "pairs.labels), pairs.scores)", CRITERION),
    Mistake(_CRITERION, "(pairs.images, pairs.points), pairs.scores, accumulate=True)", "(pairs.images, pairs.points), pairs.scores)", CRITERION),
    Mistake(_CRITERION, ".sum(dim=-1) * pairs.weights).sum()", ".sum(dim=-1)).sum()", CRITERION),
    Mistake(_CRITERION, "pairs.weights.sum().clamp(min=1.0)", "pairs.weights.sum().clamp(min=1e-6)", CRITERION),
    Mistake(_CRITERION, "masked_fill(pairs.ignored, 0.0)", "masked_fill(pairs.ignored, 1.0)", CRITERION),
    Mistake(_CRITERION, "points.strides[pairs.points])", "points.strides[:1])", CRITERION),
    Mistake("detector/losses/distribution.py", "gather(1, index + 1)", "gather(1, index)", DFL),
    Mistake("detector/losses/distribution.py", "target.clamp(0, bins - 1)", "target.clamp(0, bins)", DFL),
    # two stages
    Mistake("detector/models/proposal_network.py", 'self.objectness_weight * losses["loss_objectness"]', 'losses["loss_objectness"]', WEIGHTS),
    Mistake("detector/models/proposal_network.py", 'self.box_weight * losses["loss_rpn_box_reg"]', 'losses["loss_rpn_box_reg"]', WEIGHTS),
    Mistake("detector/models/roi_stage.py", "self.class_weight * class_loss", "class_loss", WEIGHTS),
    Mistake("detector/models/roi_stage.py", "self.box_weight * self.box_loss", "self.box_loss", WEIGHTS),
    Mistake("detector/models/rcnn.py", "self.class_weight * class_loss", "class_loss", WEIGHTS),
    Mistake("detector/models/rcnn.py", "self.box_weight * self.box_loss", "self.box_loss", WEIGHTS),
    Mistake("detector/models/rcnn.py", "[self.level].mean(dim=(2, 3))", "[self.level].amax(dim=(2, 3))", RCNN),
    Mistake("detector/models/rcnn.py", "self.level = backbone.info.names[-1]", "self.level = backbone.info.names[0]", RCNN),
    # pictures and boxes on their way to the network
    Mistake(_DATASET, "fit = self.size / max(seen_width, seen_height)", "fit = min(1.0, self.size / max(seen_width, seen_height))", DATASET),
    Mistake("detector/data/module.py", 'read_index(data, "val", self.class_names)', 'read_index(data, "val")', VOC),
    Mistake("detector/data/augment.py", "(0.5 + augment.translate * y) * size", "(0.5 + augment.translate * x) * size", AUGMENT),
    Mistake("detector/data/augment.py", "shearing(augment.shear * shear_x, augment.shear * shear_y)", "shearing(augment.shear * shear_x, augment.shear * shear_x)", AUGMENT),
    Mistake("detector/data/augment.py", "zoom = 1 + augment.scale * zoom", "zoom = 1 + augment.scale * abs(zoom)", AUGMENT),
    Mistake("detector/data/mosaic.py", "x, y = (rng.random(2) - 0.5).tolist()", "x, y = (rng.random(2) * 0.5 - 0.25).tolist()", MOSAIC),
    Mistake("detector/data/mosaic.py", "return x * size, y * size", "return x * size, x * size", MOSAIC),
    Mistake("detector/data/mixing.py", "MIXUP_ALPHA = 8.0", "MIXUP_ALPHA = 0.8", MIXING),
    Mistake("detector/data/letterbox.py", "cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA", "cv2.INTER_LINEAR", LETTERBOX),
    Mistake("detector/data/loading.py", "new_width / (n * -(-width // n))", "new_width / width", LETTERBOX),
    Mistake("detector/data/cache.py", "(state.st_size, state.st_mtime_ns)", "state.st_size", CACHE),
    Mistake("detector/data/sampler.py", "np.random.default_rng([self.seed, epoch]).shuffle(order)", "np.random.default_rng([self.seed]).shuffle(order)", SAMPLER + " " + DATASET),
    Mistake(_DATASET, "np.random.default_rng([self.seed, epoch, i])", "np.random.default_rng([self.seed, epoch])", DATASET),
    Mistake(_DATASET, "np.random.default_rng([self.seed, epoch, i])", "np.random.default_rng([epoch, i])", DATASET),
    Mistake("detector/data/albumentations.py", "seeds = rng.integers(2**32, size=len(self.compose.transforms)).tolist()", "seeds = [int(rng.integers(2**32))] * len(self.compose.transforms)", AUGMENT),
    Mistake("detector/data/anchors.py", "sizes[~index.crowd]", "sizes", ANCHORS),
    Mistake("detector/data/anchors.py", "if reached > best:", "if reached > best + 1:", ANCHORS),
    # parts
    Mistake("detector/layers.py", "NORM_MOMENTUM = 0.03", "NORM_MOMENTUM = 0.1", LAYERS),
    Mistake("detector/layers.py", "NORM_EPSILON = 1e-3", "NORM_EPSILON = 1e-5", LAYERS),
    Mistake("detector/layers.py", "LEAKY_SLOPE = 0.1 ", "LEAKY_SLOPE = 0.01 ", LAYERS),
    Mistake("detector/layers.py", "std=gain / math.sqrt(fan_out)", "std=gain / math.sqrt(fan_in)", LAYERS),
    Mistake("detector/necks/pan.py", "blocks, shortcut=False,", "blocks, shortcut=True,", NECKS),
    Mistake("detector/necks/pan.py", 'initialise(self, "kaiming", activation)', "pass", NECKS),
    Mistake("detector/heads/anchor_free.py", "-math.log((1 - prior_probability) / prior_probability)", "0.0", HEADS),
    Mistake("detector/heads/anchor_free.py", "INITIAL_DISTANCE = 2.0", "INITIAL_DISTANCE = 7.5", HEADS),
    Mistake("detector/nms.py", "index[flat[index] > self.score_threshold]", "index[flat[index] >= 0]", NMS),
    # comparisons
    Mistake("detector/experiments/compare/groups.py", "if key not in PLACE_AND_CHANCE}\n", 'if key not in (*PLACE_AND_CHANCE, "optim")}\n', GROUPS),
    # the seminar's page, whose arithmetic is JavaScript (noticed where there is a Chromium)
    Mistake("detector/seminar/page/arithmetic.js", "const reach = dilation * (kernel - 1) + 1;", "const reach = dilation * kernel;", PAGE),
    Mistake("detector/seminar/page/arithmetic.js", "const turned = (kernel) => kernel.map((row) => [...row].reverse()).reverse();", "const turned = (kernel) => [...kernel].reverse();", PAGE),
    Mistake("detector/seminar/page/arithmetic.js", "correlate(padded(x, padding), gradient, 1, stride, kernelSize)", "correlate(padded(x, padding), gradient, stride, 1, kernelSize)", PAGE),
    Mistake("detector/seminar/page/arithmetic.js", "(value > 0 ? 1 : 0)", "(value >= 0 ? 1 : 0)", PAGE),
    Mistake("detector/seminar/page/arithmetic.js", "padding += layer.padding * stride;", "padding += layer.padding;", PAGE),
    Mistake("detector/seminar/page/arithmetic.js", "const place = at * stride + u * dilation - padding;", "const place = at * stride + u - padding;", PAGE),
    Mistake("detector/seminar/page/questions.js", "n.kernel ** 3 * n.channels", "n.kernel ** 2 * n.channels", PAGE),
]  # fmt: skip


def notices(mistake: Mistake, root: Path) -> bool:
    """Whether a test fails with the mistake in the copy at `root`, which is mended afterwards."""
    file = root / mistake.file
    before = file.read_text(encoding="utf-8")
    file.write_text(mistake.planted(root), encoding="utf-8")
    try:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-m",
            "not slow",
            "-p",
            "no:cacheprovider",
            *mistake.tests.split(),
        ]
        environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        run = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    finally:
        file.write_text(before, encoding="utf-8")
    if run.returncode not in (0, 1):  # neither passed nor failed: pytest itself could not go on
        raise RuntimeError(f"{mistake.file}: {mistake.new!r}: pytest ended with {run.returncode}\n{run.stdout[-2000:]}")
    return run.returncode == 1


def main(words: list[str]) -> int:
    """Tries the mistakes whose file or text holds one of the words, or all; the exit code."""
    chosen = [one for one in MISTAKES if not words or any(word in f"{one.file} {one.old}" for word in words)]
    unnoticed = 0
    with tempfile.TemporaryDirectory(prefix="mistakes_") as folder:
        root = Path(folder) / "detector"
        tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in tracked.splitlines():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name, follow_symlinks=False)
        for number, mistake in enumerate(chosen, start=1):
            started = time.monotonic()
            red = notices(mistake, root)
            unnoticed += not red
            state = "red  " if red else "GREEN"
            print(
                f"{number:3}/{len(chosen)} {state} {time.monotonic() - started:4.0f} s  "
                f"{mistake.file}: {mistake.old.strip()} -> {mistake.new.strip()}",
                flush=True,
            )
    print(f"{len(chosen) - unnoticed} of {len(chosen)} mistakes are noticed")
    return int(unnoticed > 0 or not chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
