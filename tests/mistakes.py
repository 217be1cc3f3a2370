"""Mistakes of the kind that costs accuracy in silence, and the tests that notice each.

    python tests/mistakes.py                 each mistake: red (noticed) or GREEN (not); exit code 1 if one is green
    python tests/mistakes.py ema optim       those whose file or text holds one of the words

Each is planted alone in a copy of the tracked files, where the tests named beside it run without the slow ones, as many at
a time as there are cores. They run in forks of a process that has imported what the project depends on, but nothing of the
project. A plain `pytest` checks that every text to be replaced still stands once in its file (`tests/test_mistakes.py`).
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

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
BACKENDS, TRAINER, CORES = (
    "tests/training/test_backends.py",
    "tests/training/test_trainer.py",
    "tests/data/test_cores.py",
)
_PAIRS, _ASSIGNERS = "detector/assigners/pairs.py", "tests/assigners"
CRITERION, DFL = "tests/losses/test_criterion.py", "tests/losses/test_distribution_loss.py"
WEIGHTS, RCNN, ROI = (f"tests/models/test_{name}.py" for name in ("loss_weights", "rcnn", "roi_stage"))
FASTER, ELSEWHERE = "tests/models/test_faster_rcnn.py", "tests/models/test_other_device.py"
DATASET, CACHE, SAMPLER, ANCHORS = (f"tests/data/test_{name}.py" for name in ("dataset", "cache", "sampler", "anchors"))
MOSAIC, MIXING, AUGMENT = (f"tests/data/augment/test_{name}.py" for name in ("mosaic", "mixing", "random_views"))
VOC, LETTERBOX = "tests/data/formats/test_voc.py", "tests/data/images/test_letterbox.py"
COCO_PIECES = "tests/data/formats/test_coco_pieces.py"
NECKS, LAYERS, GROUPS, NMS = (
    "tests/necks",
    "tests/test_layers.py",
    "tests/experiments/compare/test_groups.py",
    "tests/test_nms.py",
)
SCHEDULE_FREE, BATCH_NORM = "tests/training/test_schedule_free.py", "tests/training/test_batch_norm.py"
HEADS = "tests/heads"
DEPENDENCE, FIELDS, EQUIVARIANCE, LEDGER, VOLUMES = (
    f"tests/arithmetic/test_{name}.py" for name in ("dependence", "fields_found", "equivariance", "model", "volumes")
)
SUMMARY = "tests/inspection/test_summary.py"
FOLDING, TILES, PREDICT, WINDOW, TRACKING = (
    f"tests/inference/test_{name}.py" for name in ("folding", "tiles", "predict", "window", "tracking")
)
_RULES, _TRACKER, _WINDOWS, _FIELD = (
    f"detector/arithmetic/{name}.py" for name in ("dependence_rules", "tracker", "windows", "receptive_field")
)
SEMINAR, NUMBERS = "tests/seminar/test_seminar.py", "tests/seminar/test_numbers.py"
SHARING, FACES, DEAD, SIZES, STAGES, BACKBONES, CATEGORIES, BOXES, FACTORISED = (
    f"tests/seminar/test_{name}.py"
    for name in (
        "sharing",
        "faces",
        "dead_units",
        "gradient_sizes",
        "two_detectors",
        "compared_backbones",
        "part_categories",
        "box_losses",
        "factorisation",
    )
)
PAGE = "tests/seminar/test_page_in_browser.py"
EVALUATION_PAGE, EVALUATION_IN_BROWSER = (
    f"tests/evaluation/page/test_evaluation_{name}.py" for name in ("page", "in_browser")
)
DIFFERENCE, MEASURES = (f"tests/evaluation/test_{name}.py" for name in ("difference", "measures"))
COMPARISON_PAGE, COMPARISON_IN_BROWSER = (
    f"tests/experiments/compare/test_comparison_{name}.py" for name in ("page", "in_browser")
)
_COMPARED = "detector/experiments/compare/page"
PAGE_SHELL, SHELL_IN_BROWSER = (
    f"tests/visualization/page/test_{name}.py" for name in ("page_shell", "shell_in_browser")
)
_CONTENT, _COUNTING = "detector/evaluation/page/content.py", "detector/evaluation/page/counting.js"

_MODULE, _CRITERION, _DATASET = (
    "detector/training/module.py",
    "detector/losses/criterion.py",
    "detector/data/dataset.py",
)

_TIMM, _EFFICIENTNET = "detector/backbones/timm.py", "detector/backbones/efficientnet.py"
_DARKNET_LAYERS = "detector/darknet/layers.py"
TIMM, TORCHVISION = "tests/backbones/test_timm.py", "tests/backbones/test_backbones.py"

_ANALYSIS = "tests/evaluation/analysis"
_HASH, _SIMILAR, _BOXES, _LABELS = (
    f"detector/data/checks/{name}.py" for name in ("picture_hash", "similar_images", "boxes", "labels")
)
HASH, FINDINGS, DATA_PAGE, CHECK = (
    *(f"tests/data/checks/test_{name}.py" for name in ("picture_hash", "findings", "data_page")),
    "tests/data/test_check_data.py",
)
RUN_PAGE, CARD = "tests/training/run_page/test_run_page.py", "tests/training/test_model_card.py"

MISTAKES = [
    # the site's pages of parts
    Mistake("docs/figures/block_figures.py", "stride = max(stride, image_size // shape[-1])", "stride *= 2",
            "tests/test_part_pages.py"),
    Mistake("docs/figures/block_figures.py", "return list(dict.fromkeys(found))", "return list(dict.fromkeys(found))[:1]",
            "tests/test_part_pages.py"),
    Mistake("docs/figures/block_figures.py", "self.inside -= 1\n", "self.inside -= 2\n", "tests/test_part_pages.py"),
    Mistake("docs/figures/scene_figures.py", "points = make_points((SIDE, SIDE)",
            "points = make_points((SIDE // 2, SIDE // 2)", "tests/test_part_pages.py"),
    Mistake("docs/figures/scene_figures.py", "DetectionDataset(index, SIDE, augment, seed=3)",
            "DetectionDataset(index, SIDE, None, seed=3)", "tests/test_part_pages.py"),
    Mistake("docs/figures/curve_figures.py", "high = wide if height else torch.full_like(wide, half)", "high = wide",
            "tests/test_part_pages.py"),
    Mistake("docs/figures/curve_figures.py", "        if schedule is not None:\n            schedule.step()\n", "",
            "tests/test_part_pages.py"),
    Mistake("docs/figures/part_pages.py", "found.node, \"name\", \"\") ==", "found.node, \"name\", \"\") !=",
            "tests/test_part_pages.py"),
    Mistake("docs/figures/part_pages.py", "if one.name != \"name\":", "if one.name in own:", "tests/test_part_pages.py"),
    # measuring
    Mistake("detector/evaluation/coco.py", "ranks(index.image_ids)[results.images],\n            results.boxes",
            "results.images,\n            results.boxes", "tests/evaluation/test_engines.py"),
    Mistake("detector/evaluation/results.py", "{*map(type, coordinates), *map(type, scores)} <= {int, float}",
            "True", "tests/evaluation/test_flat_results.py"),
    Mistake("detector/evaluation/voc.py", "(iou > 0))[::-1]", "(iou > 0))", "tests/evaluation/test_voc_metrics.py"),
    # taking an evaluation apart
    Mistake("detector/evaluation/analysis/matching.py", "np.where(ignored, IGNORED, np.where(matches < 0, NOTHING, matches))",
            "np.where(matches < 0, NOTHING, matches)", f"{_ANALYSIS}/test_image_matches.py"),
    Mistake("detector/evaluation/analysis/tide.py", "kept = ~of_kind | repaired[counted]", "kept = ~of_kind | of_kind",
            f"{_ANALYSIS}/test_tide.py"),
    Mistake("detector/evaluation/analysis/tide.py", "& ~found[one])", ")", f"{_ANALYSIS}/test_tide.py"),
    Mistake("detector/evaluation/analysis/confusion.py", "if free[detection] and not taken[one]:", "if free[detection]:",
            f"{_ANALYSIS}/test_confusion_matrix.py"),
    Mistake("detector/evaluation/analysis/image_cost.py", "false_per_true = (f - gone) / (n + more)", "false_per_true = f / n",
            f"{_ANALYSIS}/test_image_cost.py"),
    Mistake("detector/evaluation/analysis/olrp.py", "lrp = (loss / (1 - tau) +", "lrp = (loss +", f"{_ANALYSIS}/test_olrp.py"),
    Mistake("detector/evaluation/analysis/calibration.py", "counted = matched.found[0] != IGNORED",
            "counted = matched.found[0] != -3", f"{_ANALYSIS}/test_detection_calibration.py"),
    Mistake("detector/evaluation/analysis/operating_points.py", "last = np.append(scores[1:] != scores[:-1], True)",
            "last = np.full(len(scores), True)", f"{_ANALYSIS}/test_operating_points.py"),
    Mistake("detector/evaluation/analysis/subsets.py", "rank == 1]] = iou[rank == 1]", "rank == 0]] = iou[rank == 0]",
            f"{_ANALYSIS}/test_subsets.py"),
    Mistake("detector/evaluation/analysis/label_errors.py", "other[other] = ~found[errors.object[other]]", "pass",
            f"{_ANALYSIS}/test_label_errors.py"),
    # the page of an evaluation
    Mistake(_CONTENT, 'new_row[candidates["detection"]]', 'candidates["detection"]', EVALUATION_PAGE),
    Mistake(_CONTENT, "np.floor(best_left_out * 1000) + 1", "np.floor(best_left_out * 1000)", EVALUATION_PAGE),
    Mistake("detector/evaluation/page/pictures.py", "(-cost).argsort", "cost.argsort", EVALUATION_PAGE),
    Mistake("detector/evaluation/page/pictures.py", "room -= len(uri)", "pass", EVALUATION_PAGE),
    Mistake("detector/evaluation/page/page.py", "links_images=not drawn", "links_images=True", EVALUATION_PAGE),
    Mistake(_COUNTING, "scores[last] >= score", "scores[last] > score", EVALUATION_IN_BROWSER),
    Mistake(_COUNTING, "candidates.level[c] < iou || made.object[o] !== MISSED", "candidates.level[c] < iou", EVALUATION_IN_BROWSER),
    Mistake(_COUNTING, "candidates.level[c] < iou", "candidates.level[c] < 0", EVALUATION_IN_BROWSER),
    Mistake("detector/evaluation/page/images.js", "bins[subset][o] === bin }", "bins[subset][o] >= bin }", EVALUATION_IN_BROWSER),
    Mistake("detector/visualization/page/shell.py", '.replace("<", "\\\\u003c")', "", PAGE_SHELL),
    Mistake("detector/visualization/page/shell.py", "<h1>{escape(title)}</h1>", "<h1>{title}</h1>", PAGE_SHELL),
    Mistake("detector/columns.py", 'newbyteorder("<")).tobytes()', 'newbyteorder(">")).tobytes()', "tests/test_columns.py"),
    # what is wrong with data
    Mistake(_HASH, "for flipped in (0, *(1 << bit for bit in range(_BAND))):", "for flipped in (0,):", HASH),
    Mistake(_HASH, "signs[1, 1::2] = -1 if orientation.left_right else 1", "signs[1, 0::2] = -1 if orientation.left_right else 1", HASH),
    Mistake(_HASH, "crops = [(0, 0), (0, end), (end, 0), (end, end), (middle, middle)]", "crops: list[tuple[float, float]] = []", HASH),
    Mistake(_BOXES, "box[2] - least * (box[2] - box[0])", "box[0] + least * (box[2] - box[0]) / 99", FINDINGS),
    Mistake(_BOXES, "rows = rows[~index.crowd[rows]]", "pass", FINDINGS),
    Mistake(_LABELS, "distances[asked_owners[rows, None] == owners] = np.inf", "pass", FINDINGS),
    Mistake(_LABELS, "clear = recall >= LEAST_RECALL", "clear = recall >= 0", FINDINGS),
    Mistake("detector/data/checks/same_picture.py", "np.quantile(structure[inside], 0.01)", "np.quantile(structure[inside], 0.5)", FINDINGS),
    Mistake("detector/data/checks/classes.py", "/ all_classes.mean() ** 2", "/ all_classes.mean() ** 3", FINDINGS),
    Mistake("detector/data/checks/page/pictures.py", "enumerate((x1, y1, x2, y2))]", "enumerate((y1, x1, y2, x2))]", DATA_PAGE),
    Mistake("detector/data/checks/page/pictures.py", "self.left -= len(source)", "pass", DATA_PAGE),
    Mistake("detector/data/checks/page/distributions.py", "((high[:, 0], low[:, 1]), -1)", "((high[:, 0], low[:, 1]), 1)", DATA_PAGE),
    # a run's page and its card
    Mistake("detector/training/run_page/content.py", "    if running:\n        reload", "    if True:\n        reload", RUN_PAGE),
    Mistake("detector/training/run_page/images.py", "matched.found_with < SHOWN_SCORE", "matched.found_with < 0", RUN_PAGE),
    Mistake("detector/training/run_page/content.py", "if len(one) > MOST_POINTS else one for one in curve", "if len(one) < MOST_POINTS else one for one in curve", RUN_PAGE),
    Mistake("detector/training/model_card.py", "earlier.partition(f\"{_TO_FILL_IN}\\n\")[2] or _FIELDS", "_FIELDS", CARD),
    Mistake("detector/visualization/page/heat_map.js", "frame.top - place.top) / place.high", "frame.top) / place.high", SHELL_IN_BROWSER),
    # averaged weights
    Mistake("detector/training/ema.py", "for tensors in (owner._parameters, owner._buffers):", "for tensors in (owner._parameters,):", EMA),
    Mistake("detector/training/ema.py", "id(tensor) not in seen and ", "", EMA),
    Mistake("detector/training/ema.py", "torch._foreach_copy_(copies, originals)", "pass", EMA),
    Mistake("detector/training/ema.py", "decay = min(self.decay, self._count / (self._count + 9))", "decay = self.decay", EMA),
    Mistake("detector/training/ema.py", "pairs.floating(), 1 - decay)", "pairs.floating(), decay)", EMA),
    Mistake("detector/training/ema.py", "self._count = int(self.updates)", "self._count = 0", EMA),
    Mistake("detector/training/ema.py", "(self._count + 9)", "(self._count + 90)", EMA),
    # what a device computes with, and what a rate belongs to
    Mistake("detector/training/processes.py", "        _tell_no_other_process(trainer)", "        pass", "tests/training/test_training_processes.py"),
    Mistake("detector/training/backends.py", 'if self.deterministic or device == "cpu":', "if self.deterministic:", BACKENDS),
    Mistake("detector/training/backends.py", "self.one_shape and not self.deterministic", "self.one_shape", BACKENDS),
    Mistake("detector/training/backends.py", "not recipe.trainer.multi_scale and recipe.model.fixed_shapes",
            "not recipe.trainer.multi_scale", BACKENDS),
    Mistake("detector/training/trainer.py", 'torch.float16: "16-mixed"', 'torch.float16: "32-true"', TRAINER),
    Mistake("detector/training/trainer.py", "sync_batchnorm=part.sync_batch_norm", "sync_batchnorm=False", TRAINER),
    Mistake("detector/optimizers.py", "batch_exponent: ClassVar[float] = 1.0", "batch_exponent: ClassVar[float] = 0.5", OPTIM),
    Mistake(_MODULE, "self.data.loading.batch_size * self.trainer.accumulate_grad_batches", "self.data.loading.batch_size", MODULE),
    Mistake("detector/training/find_lr.py", "frozen_epochs=0, scale_lr=False", "frozen_epochs=0",
            "tests/training/test_find_lr.py"),
    Mistake("detector/training/measuring.py", "rows[:, 2:4] -= rows[:, :2]", "pass", "tests/training/test_measuring.py"),
    Mistake("detector/data/cores.py", "sum(core in other for other in allowed)", "len(allowed)", CORES),
    Mistake("detector/data/cores.py", "min(int(cores) - 1, MOST)", "min(int(cores), MOST)", CORES),
    # the training loop
    Mistake(_MODULE, "targets = targets.scaled(new_side / side)", "pass", MODULE),
    Mistake(_MODULE, "math.ceil(batches / trainer.accumulate_grad_batches)", "batches", MODULE),
    Mistake(_MODULE, "self.optim.warmup_epochs / epochs", "self.optim.warmup_epochs / total", MODULE),
    Mistake(_MODULE, "torch.nn.utils.clip_grad_norm_(self.detector.parameters(), clip, foreach=True)", "pass", MODULE),
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
    Mistake(_CRITERION, "return (each * found.weights).sum()", "return each.sum()", CRITERION),
    Mistake(_CRITERION, "self.weights[name] * loss / total", "loss / total", CRITERION),
    Mistake(_CRITERION, '"objectness": objectness_weight,', '"objectness": class_weight,', CRITERION),
    Mistake(_CRITERION, '"distribution": distribution_weight,', '"distribution": box_weight,', CRITERION),
    Mistake(_CRITERION, "labels), found.scores, accumulate=True)", "labels), found.scores)", CRITERION),
    Mistake(_CRITERION, "(found.points,), found.scores, accumulate=True)", "(found.points,), found.scores)", CRITERION),
    Mistake(_CRITERION, ".sum(dim=-1) * found.weights).sum()", ".sum(dim=-1)).sum()", CRITERION),
    Mistake(_CRITERION, "found.weights.sum().clamp(min=1.0)", "found.weights.sum().clamp(min=1e-6)", CRITERION),
    Mistake(_CRITERION, "masked_fill(found.ignored, 0.0)", "masked_fill(found.ignored, 1.0)", CRITERION),
    Mistake(_CRITERION, "points.strides[point])", "points.strides[:1])", CRITERION),
    Mistake("detector/losses/distribution.py", "gather(1, index + 1)", "gather(1, index)", DFL),
    Mistake("detector/losses/distribution.py", "target.clamp(0, bins - 1)", "target.clamp(0, bins)", DFL),
    # objects and points of a batch
    Mistake(_PAIRS, " * objects.known.trained[:, None, None]", "", _ASSIGNERS),
    Mistake(_PAIRS, "start += objects.known.images[:, None]", "start += 0 * objects.known.images[:, None]", _ASSIGNERS),
    Mistake(_PAIRS, "bits ^ ((bits >> 31) & 0x7FFFFFFF)", "bits", _ASSIGNERS),
    Mistake(_PAIRS, ".sub_(length.cumsum(0)).add_(length)", ".sub_(length.cumsum(0))", _ASSIGNERS),
    Mistake(_PAIRS, "_ordered(merit.amax(dim=1))", "_ordered(merit[:, 0].contiguous())", _ASSIGNERS),
    Mistake(_PAIRS, ".masked_fill_(absent, -torch.inf)", "", _ASSIGNERS),
    Mistake(_PAIRS, "from_last = last - (blocks * BLOCK)[:, None] - ", "from_last = (blocks * BLOCK)[:, None] + ", _ASSIGNERS),
    Mistake(_PAIRS, "own = sides.index_select(1, owners[blocks])", "own = sides.index_select(1, owners[:len(places)])", _ASSIGNERS),
    Mistake("detector/assigners/cells.py", "np.minimum(tall_low, other_low)", "tall_low", _ASSIGNERS),
    Mistake("detector/assigners/cells.py", "else np.floor(low) + 1", "else np.ceil(low)", _ASSIGNERS),
    Mistake("detector/assigners/task_aligned.py", "np.maximum(size / 2, _least_half(points))", "size / 2", _ASSIGNERS),
    Mistake("detector/assigners/simota.py", "(points.levels) >= self.top)", "(points.levels) >= 0)", _ASSIGNERS),
    Mistake("detector/assigners/simota.py", "self.centre_radius * points.strides[point]", "self.centre_radius", _ASSIGNERS),
    Mistake("detector/models/proposal_network.py", "TOGETHER = 5 * 2**14", "TOGETHER = 2**16", "tests/models/test_proposal_network.py"),
    Mistake("detector/data/index.py", "all_trained = len(rows) == len(measured)", "all_trained = True", "tests/data/test_index.py"),
    # the command line
    Mistake("detector/inference/precision.py", "del self._network.forward", "pass", "tests/training/test_module.py"),
    Mistake("detector/cli/commands.py", "del sys.modules[name]", "pass", "tests/cli/test_commands.py"),
    Mistake("detector/evaluation/coco.py", "_process_of_threads = os.getpid()", "pass", "tests/evaluation/test_coco_metrics.py"),
    Mistake("detector/cli/compose.py", "if isinstance(action.help, str):", "if action.help:", "tests/cli/test_compose.py"),
    Mistake("detector/cli/option_source.py", "hint=Annotated[option.hint, value]", "hint=option.hint", "tests/cli/test_keys.py"),
    Mistake("detector/cli/keys.py", "return float(number) if float in kinds else number if int in kinds", "return number if int in kinds", "tests/cli/test_keys.py"),
    Mistake("detector/assigners/max_iou.py", "(1 / self.ignore_threshold - 1) / 2", "(1 - self.ignore_threshold) / 4", _ASSIGNERS),
    Mistake("detector/assigners/max_iou.py", "> self.ignore_threshold) & ~is_taken", "> self.ignore_threshold)", _ASSIGNERS),
    Mistake("detector/targets.py", "boxes=self._known.boxes * np.float32(factor)", "boxes=self._known.boxes", "tests/test_targets.py"),
    Mistake("detector/targets.py", "numbers[number:, 1] = len(targets)", "pass", "tests/test_targets.py"),
    # two stages
    Mistake("detector/models/proposal_network.py", "(group * spread)[:, None]", "group[:, None]", "tests/models/test_proposal_network.py"),
    Mistake("detector/models/regions/sampling.py", "matches = torch.where(there, matches, IGNORED)", "pass", "tests/models/regions/test_sampling.py"),
    Mistake("detector/models/proposal_network.py", 'self.objectness_weight * objectness_loss', 'objectness_loss', WEIGHTS),
    Mistake("detector/models/proposal_network.py", 'self.box_weight * box_loss', 'box_loss', WEIGHTS),
    Mistake("detector/models/roi_stage.py", "self.class_weight * class_loss", "class_loss", WEIGHTS),
    Mistake("detector/models/roi_stage.py", "self.box_weight * self.box_loss", "self.box_loss", WEIGHTS),
    Mistake("detector/models/rcnn.py", "self.class_weight * class_loss", "class_loss", WEIGHTS),
    Mistake("detector/models/rcnn.py", "self.box_weight * self.box_loss", "self.box_loss", WEIGHTS),
    Mistake("detector/models/rcnn.py", "[self.level].mean(dim=(2, 3))", "[self.level].amax(dim=(2, 3))", RCNN),
    Mistake("detector/models/rcnn.py", "self.level = backbone.info.names[-1]", "self.level = backbone.info.names[0]", RCNN),
    # pictures and boxes on their way to the network
    Mistake(_DATASET, "fit = self.size / max(seen_width, seen_height)", "fit = min(1.0, self.size / max(seen_width, seen_height))", DATASET),
    Mistake("detector/data/module.py", 'read_index(data, "val", train_index.class_names)', 'read_index(data, "val")', VOC),
    Mistake("detector/data/augment/random_views.py", "(0.5 + augment.translate * y) * size", "(0.5 + augment.translate * x) * size", AUGMENT),
    Mistake("detector/data/augment/random_views.py", "shearing(augment.shear * shear_x, augment.shear * shear_y)", "shearing(augment.shear * shear_x, augment.shear * shear_x)", AUGMENT),
    Mistake("detector/data/augment/random_views.py", "zoom = 1 + augment.scale * zoom", "zoom = 1 + augment.scale * abs(zoom)", AUGMENT),
    Mistake("detector/data/augment/mosaic.py", "x, y = (rng.random(2) - 0.5).tolist()", "x, y = (rng.random(2) * 0.5 - 0.25).tolist()", MOSAIC),
    Mistake("detector/data/augment/mosaic.py", "return x * size, y * size", "return x * size, x * size", MOSAIC),
    Mistake("detector/data/augment/mixing.py", "MIXUP_ALPHA = 8.0", "MIXUP_ALPHA = 0.8", MIXING),
    Mistake("detector/data/images/letterbox.py", "cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA", "cv2.INTER_LINEAR", LETTERBOX),
    Mistake("detector/evaluation/results.py", "if scores.all() or _all_have_scores(path, len(scores)) else None", "", "tests/evaluation/test_flat_results.py"),
    Mistake("detector/evaluation/results.py", "np.abs(values).max() < 2**53 and ", "", "tests/evaluation/test_flat_results.py"),
    Mistake("detector/evaluation/results.py", 'b"\\\\" not in content and ', "", "tests/evaluation/test_flat_results.py"),
    Mistake("detector/data/images/decode.py", "elif reduced or not header.is_jpeg:", "elif reduced:", "tests/data/images/test_decode.py"),
    Mistake("detector/data/images/decode.py", "elif reduced or not header.is_jpeg:", "elif not header.is_jpeg:", "tests/data/images/test_decode.py " + LETTERBOX),
    Mistake("detector/data/dataset.py", "maps = np.repeat(matrices, [one.stop - one.start for one in rows], axis=0)", "maps = np.resize(matrices, (sum(one.stop - one.start for one in rows), 3, 3))", MOSAIC),
    Mistake("detector/data/geometry.py", "half[:, 1:] * np.abs(of_y)", "half[:, 1:] * of_y", AUGMENT),
    Mistake("detector/data/images/loading.py", "new_width / (n * -(-width // n))", "new_width / width", LETTERBOX),
    Mistake("detector/data/cache.py", "(state.st_size, state.st_mtime_ns)", "state.st_size", CACHE),
    Mistake("detector/data/sampler.py", "np.random.default_rng([self.seed, epoch]).shuffle(order)", "np.random.default_rng([self.seed]).shuffle(order)", SAMPLER + " " + DATASET),
    Mistake(_DATASET, "np.random.default_rng([self.seed, epoch, i])", "np.random.default_rng([self.seed, epoch])", DATASET),
    Mistake(_DATASET, "np.random.default_rng([self.seed, epoch, i])", "np.random.default_rng([epoch, i])", DATASET),
    Mistake("detector/data/augment/albumentations.py", "seeds = rng.integers(2**32, size=len(self.compose.transforms)).tolist()", "seeds = [int(rng.integers(2**32))] * len(self.compose.transforms)", AUGMENT),
    Mistake("detector/data/sampler.py", "yield mixed, own[start : start + self.group]", "yield own[: self.group], own[start : start + self.group]", SAMPLER),
    Mistake("detector/data/sampler.py", "own[min(start, max(len(own) - self.group, 0)) :]", "own[start:]", SAMPLER),
    Mistake("detector/data/dataset.py", "drawn[drawn != i][:count]", "drawn[:count]", DATASET),
    Mistake("detector/data/dataset.py", "group[0] if group and mixed else _NO_IMAGE", "_NO_IMAGE", DATASET),
    Mistake("detector/data/dataset.py", "group[0] if group else np.arange(len(self))", "np.arange(len(self))", DATASET),
    Mistake("detector/data/loader.py", "self._send_idx // self._run % self._num_workers", "self._send_idx % self._num_workers", "tests/data/test_loader.py"),
    Mistake("detector/data/split_loader.py", "max(PREFETCH, run) if workers", "PREFETCH if workers", "tests/data/test_data_module.py"),
    Mistake("detector/data/formats/coco_objects.py", "simple = (owners >= 0) & (labels >= 0) & ~larger", "simple = (owners >= 0) & (labels >= 0)", COCO_PIECES),
    Mistake("detector/data/formats/coco_json.py", 'if text.count(":") == keys:', 'if text.count(":") >= keys:', COCO_PIECES),
    Mistake("detector/data/formats/coco_annotations.py", "_types(flags) <= {int, bool, type(None)}", "True", COCO_PIECES),
    Mistake("detector/data/formats/coco_annotations.py", "self._sort(entries[half:], first + half)", "self._sort(entries[half:], first)", COCO_PIECES),
    Mistake("detector/data/anchors.py", "sizes[~index.crowd]", "sizes", ANCHORS),
    Mistake("detector/data/anchors.py", "if reached > best:", "if reached > best + 1:", ANCHORS),
    # parts
    Mistake("detector/layers.py", "NORM_MOMENTUM = 0.03", "NORM_MOMENTUM = 0.1", LAYERS),
    Mistake("detector/layers.py", "NORM_EPSILON = 1e-3", "NORM_EPSILON = 1e-5", LAYERS),
    Mistake("detector/layers.py", "LEAKY_SLOPE = 0.1 ", "LEAKY_SLOPE = 0.01 ", LAYERS),
    Mistake("detector/layers.py", "std=gain / math.sqrt(fan_out)", "std=gain / math.sqrt(fan_in)", LAYERS),
    Mistake("detector/models/single_shot.py", "return images.shape[-2], images.shape[-1]", "return images.shape[-2], images.shape[-2]", "tests/models/test_single_shot.py"),
    Mistake("detector/heads/anchor_free.py", 'return raw["class_logits"].float().sigmoid()', 'return raw["class_logits"].sigmoid()', "tests/heads/test_anchor_free.py"),
    Mistake("detector/models/detector.py", "lambda: [0.485, 0.456, 0.406]", "lambda: [0.485, 0.465, 0.406]", "tests/config/test_default_values.py"),
    Mistake("detector/losses/criterion.py", "box_weight: Weight = 7.5", "box_weight: Weight = 5.0", "tests/config/test_default_values.py"),
    Mistake("detector/models/detector.py", "images.to(offset.dtype, copy=True)", "images.to(offset.dtype)", "tests/models/test_single_shot.py"),
    Mistake("detector/models/detector.py", "channels.expand(1, 3, 1, width).contiguous(memory_format=torch.channels_last)", "channels.expand(1, 3, 1, width).flip(1)", "tests/models/test_single_shot.py"),
    Mistake("detector/data/augment/random_views.py", "math.sin(hue) * _TURNED", "math.sin(hue) * colour", "tests/data/augment/test_random_views.py"),
    Mistake("detector/data/augment/random_views.py", "[0.213, 0.715, 0.072]", "[0.299, 0.587, 0.114]", "tests/data/augment/test_random_views.py"),
    Mistake("detector/data/augment/random_views.py", "math.pi * augment.hue * hue", "2 * math.pi * augment.hue * hue", "tests/data/augment/test_random_views.py"),
    Mistake("detector/data/free_memory.py", "set_option(_TRIM_THRESHOLD, 1 << 30)", "pass", "tests/data/test_free_memory.py"),
    Mistake("detector/models/darknet.py", "    if width != height:", "    if width == height:", "tests/models/test_darknet.py"),
    Mistake("detector/necks/pan.py", "x = lower.pop()", "x = lower.pop(0)", NECKS),
    Mistake("detector/training/module.py", "if batch_index % self.trainer.accumulate_grad_batches == 0:  # until", "if True:  # until", "tests/training/test_module.py"),
    Mistake("detector/experiments/benchmark/parts.py", 'self.entered("backward")', "pass", "tests/experiments/benchmark/test_parts.py"),
    Mistake("detector/arithmetic/dependence_rules.py", 'aten::").removesuffix("_"), None)', 'aten::"), None)', "tests/arithmetic/test_dependence.py"),
    Mistake("detector/necks/pan.py", "blocks, shortcut=False,", "blocks, shortcut=True,", NECKS),
    Mistake("detector/necks/pan.py", 'initialise(self, "kaiming", activation)', "pass", NECKS),
    Mistake("detector/heads/anchor_free.py", "-math.log((1 - prior_probability) / prior_probability)", "0.0", HEADS),
    Mistake("detector/heads/anchor_free.py", "INITIAL_DISTANCE = 2.0", "INITIAL_DISTANCE = 7.5", HEADS),
    Mistake("detector/nms.py", "((flat > self.score_threshold) & (flat >= least))", "(flat >= least.clamp(max=0))", NMS),
    # arithmetic
    Mistake("detector/arithmetic/dependence.py", "_fewest([*after.whole, all_of_it.int()])", "after.whole", DEPENDENCE),
    Mistake("detector/arithmetic/pixel_intervals.py", "return PixelIntervals(axes, whole)\n\n\ndef _without", "return PixelIntervals(axes, False)\n\n\ndef _without", FIELDS),
    Mistake(_RULES, 'if own is None or not call["training"]:', "if own is None or own:", DEPENDENCE),
    Mistake(_RULES, ".each(of_group)])", "])", DEPENDENCE),
    Mistake(_RULES, "term.unflatten(1, (groups, inputs // groups)).amax(2).repeat_interleave(outputs // groups, dim=1)", "term.amin(1, keepdim=True)", DEPENDENCE),
    Mistake(_RULES, "columns.over([count - 2])", "columns.over([count - 1])", DEPENDENCE),
    Mistake("detector/arithmetic/moving_rules.py", "for one in (0, 3, 1, 4, 2))", "for one in (0, 1, 3, 2, 4))", DEPENDENCE),
    Mistake(_RULES, '_padding("reflect")', '_padding("replicate")', DEPENDENCE),
    Mistake(_WINDOWS, "- padding + torch.arange(kernel) * dilation", "- padding + torch.arange(kernel)", DEPENDENCE + " " + FIELDS),
    Mistake(_WINDOWS, "spacing = 12 + 6 * ceil(size / outputs)", "spacing = 2", DEPENDENCE),
    Mistake(_WINDOWS, "-((place + 1) * -size // outputs)", "(place + 1) * size // outputs", DEPENDENCE),
    Mistake(_TRACKER, 'return [Unknown(f"{function}, which has no rule")] * len(outputs)', "return [None] * len(outputs)", DEPENDENCE),
    Mistake(_TRACKER, "if isinstance(dependence, Unknown):\n                return [dependence]", "if not before:\n                return [dependence]", DEPENDENCE),
    Mistake(_TRACKER, "record.time < self._written[storage]", "record.time < 0", DEPENDENCE),
    Mistake(_FIELD, "low[seeing].min() <= 0 or high[seeing].max() >= side - 1", "False", FIELDS),
    Mistake(_FIELD, "and not _alike(a, b)", "and False", FIELDS),
    Mistake(_FIELD, "[pairs].double().mean() / half", "[pairs].double().mean() / count", FIELDS),
    Mistake("detector/arithmetic/convolution.py", "size = [n + d * (k - 1) for", "size = [n for", LEDGER),
    Mistake("detector/arithmetic/model.py", "(value,) * _spatial_axes(module, taken)", "(value,)", LEDGER),
    Mistake("detector/arithmetic/model.py", "prod(taken[:-1]) * FullyConnected", "taken[0] * FullyConnected", LEDGER),
    Mistake("detector/arithmetic/equivariance.py", "max(step, 0) + margin", "margin", EQUIVARIANCE),
    Mistake("detector/arithmetic/equivariance.py", "slice(first - step, past - step)", "slice(first + step, past + step)", EQUIVARIANCE),
    Mistake("detector/arithmetic/volumes.py", "padding = (time // 2, rows // 2, columns // 2)", "padding = (1, rows // 2, columns // 2)", VOLUMES),
    # inspection
    Mistake("detector/inspection/table.py", "if inspected.unknown_of(node):\n        return", "if node is None:\n        return", SUMMARY),
    Mistake("detector/inspection/summary.py", "one.training = was", "pass", SUMMARY),
    Mistake("detector/inspection/summary.py", "for operation, flops in ledger.flops_outside.items():", "for operation, flops in ():", SUMMARY),
    # comparisons
    Mistake("detector/evaluation/difference.py", "np.arange(len(p_values), 0, -1)", "np.full(len(p_values), len(p_values))", DIFFERENCE),
    Mistake("detector/evaluation/difference.py", "np.maximum.accumulate(factors *", "np.asarray(factors *", DIFFERENCE),
    Mistake("detector/evaluation/difference.py", "2 * (1 + resamples * beyond)", "(1 + resamples * beyond)", DIFFERENCE),
    Mistake("detector/evaluation/difference.py", "p = max(_p_of(change, resamples), least)", "p = _p_of(change, resamples)", DIFFERENCE),
    Mistake("detector/evaluation/measures.py", '"APs": "small", "APm": "medium"', '"APs": "medium", "APm": "small"', MEASURES),
    Mistake("detector/evaluation/comparison.py", '"AP75": slice(5, 6)', '"AP75": slice(4, 5)', MEASURES),
    Mistake("detector/evaluation/comparison.py", "order = order[~ignored.all(axis=0)[order]]", "order = order[~ignored.any(axis=0)[order]]", MEASURES),
    Mistake("detector/evaluation/analysis/interval.py", "precisions[:, places].mean(axis=1)", "precisions[:, :1].mean(axis=1)", f"{_ANALYSIS}/test_analysis_file.py"),
    Mistake("detector/experiments/compare/differences.py", 'if place[1] == "AP"}) | _corrected(', 'if True}) | _corrected(', COMPARISON_PAGE),
    Mistake(f"{_COMPARED}/found.py", "for one in matches),", "for one in [first] * len(matches)),", COMPARISON_PAGE),
    Mistake(f"{_COMPARED}/page.py", "np.abs(costs - costs[reference]).max(axis=0)", "costs.max(axis=0)", COMPARISON_PAGE),
    Mistake(f"{_COMPARED}/boxes.js", "stateAt(group, d) === RIGHT && !other.found[o] : d < 0 && other.found[o])],\n  second", "stateAt(group, d) === RIGHT : d < 0 && other.found[o])],\n  second", COMPARISON_IN_BROWSER),
    Mistake(f"{_COMPARED}/images.js", 'second: ["costs the other more than A", (image) => costOf(REFERENCE, image) - costOf(state.other, image)]', 'second: ["costs the other more than A", (image) => -costOf(state.other, image)]', COMPARISON_IN_BROWSER),
    Mistake(f"{_COMPARED}/boxes.js", "if (group !== kind.group) return false;", "", COMPARISON_IN_BROWSER),
    Mistake("detector/visualization/page/pictures.js", "Math.abs(top - y) >= high)", "true)", SHELL_IN_BROWSER),
    Mistake("detector/experiments/compare/groups.py", "if key not in PLACE_AND_CHANCE}\n", 'if key not in (*PLACE_AND_CHANCE, "optim")}\n', GROUPS),
    # networks of others: timm, torchvision's EfficientNet, Darknet
    Mistake(_TIMM, 'str(getattr(network, "output_fmt", "NCHW")).endswith("NHWC")', "False", TIMM),
    Mistake(_TIMM, 'stage_of.setdefault(name, stage)', 'stage_of[name] = stage', TIMM),
    Mistake(_TIMM, '(list(weights["mean"]), list(weights["std"]))', '(list(weights["std"]), list(weights["mean"]))', TIMM),
    Mistake(_TIMM, "self.freeze(frozen_stages, freeze_norm)", "self.freeze(frozen_stages)", TIMM),
    Mistake(_TIMM, "self.model = _create(model, pretrained, ", "self.model = _create(model, False, ", TIMM),
    Mistake(_EFFICIENTNET, "stochastic_depth_prob=stochastic_depth", "stochastic_depth_prob=0.0", TORCHVISION),
    Mistake(_EFFICIENTNET, "adapt(layers, activation, norm)", 'adapt(layers, "silu", norm)', TORCHVISION),
    Mistake(_EFFICIENTNET, "edges = (0, 2, 3, 4, 6, 8)", "edges = (0, 2, 3, 4, 5, 8)", TORCHVISION),
    Mistake(_EFFICIENTNET, "initialise(layers, initialisation, activation)", 'initialise(layers, "kaiming", activation)', TORCHVISION),
    Mistake(_EFFICIENTNET, "model.load_state_dict(pretrained_state(name))", "pass", TORCHVISION),
    Mistake("detector/darknet/weights.py", "[norm.bias, norm.weight, norm.running_mean", "[norm.weight, norm.bias, norm.running_mean", "tests/darknet"),
    Mistake("detector/darknet/weights.py", "if major * 10 + minor >= 2 else", "if major * 10 + minor > 2 else", "tests/darknet"),
    Mistake(_DARKNET_LAYERS, "nn.BatchNorm2d(filters, NORM_EPSILON, NORM_MOMENTUM)", "nn.BatchNorm2d(filters, 1e-3, NORM_MOMENTUM)", "tests/darknet"),
    Mistake(_DARKNET_LAYERS, 'size // 2 if section.integer("pad", 0)', '1 if section.integer("pad", 0)', "tests/darknet"),
    Mistake(_DARKNET_LAYERS, "self.before, self.after = padding // 2, padding - padding // 2", "self.after, self.before = padding // 2, padding - padding // 2", "tests/darknet"),
    Mistake(_DARKNET_LAYERS, "x.chunk(self.groups, dim=1)[self.group]", "x.chunk(self.groups, dim=1)[0]", "tests/darknet"),
    Mistake(_DARKNET_LAYERS, "other[..., ::step, ::step]", "other[..., : x.shape[-2], : x.shape[-1]]", "tests/darknet"),
    Mistake(_DARKNET_LAYERS, "x.reshape(batch, channels // s**2, height, s, width, s)", "x.reshape(batch, channels, height // s, s, width // s, s)", "tests/darknet"),
    Mistake("detector/darknet/head.py", "(w * stride, h * stride) if region else (w, h)", "(w, h)", "tests/darknet"),
    Mistake("detector/darknet/head.py", "size = 2 * (F.logsigmoid", "size = (F.logsigmoid", "tests/darknet"),
    Mistake("detector/darknet/head.py", 'section.number("scale_x_y", 1.0)', "1.0", "tests/darknet"),
    Mistake("detector/darknet/head.py", "classes.append(_softmax_as_sigmoids(raw[..., 5:]) if one.softmax else raw[..., 5:])", "classes.append(raw[..., 5:])", "tests/darknet"),
    Mistake("detector/resolve.py", 'return "letterbox" if net.integer("letter_box", 0) else "stretch"', 'return "letterbox"', "tests/training/test_import_darknet.py tests/darknet"),
    Mistake("detector/training/import_darknet.py", "HISTORICAL_NAMES.get(name, name) for name in names", "name for name in names", "tests/training/test_import_darknet.py"),
    # albumentations
    Mistake("detector/data/augment/albumentations.py", "transform.set_random_seed(seed)", "transform.set_random_seed(seeds[0])", AUGMENT + " tests/data/test_dataset.py"),
    Mistake("detector/data/augment/albumentations.py", "seeds = rng.integers(2**32, size=len(self.compose.transforms)).tolist()", "seeds = [7] * len(self.compose.transforms)", AUGMENT + " tests/data/test_dataset.py"),
    Mistake("detector/data/augment/albumentations.py", "replace(objects.rows(rows[own])", "replace(objects.rows(np.flatnonzero(own))", AUGMENT + " tests/data/test_dataset.py"),
    # the seminar
    Mistake("detector/seminar/layers.py", 'Convolution(channels, filters, (kernel, kernel), stride, padding)', 'Convolution(channels, filters, (kernel, kernel), stride, padding + 1)', NUMBERS),
    Mistake("detector/seminar/layers.py", 'layer = FullyConnected(inputs, features)', 'layer = FullyConnected(inputs, features, bias=False)', NUMBERS),
    Mistake("detector/seminar/layers.py", 'patches(image, (patch, patch), stride=patch)', 'patches(image, (patch, patch), stride=patch // 2)', NUMBERS),
    Mistake("detector/seminar/layers.py", '        (patch, patch),\n        patch,\n', '        (patch, patch),\n        patch // 2,\n', NUMBERS),
    Mistake("detector/seminar/layers.py", '        (height, width),\n        (height, width),\n        1,', '        (height, width),\n        (height, width),\n        2,', NUMBERS),
    Mistake("detector/seminar/layers.py", 'built.load_state_dict(converted.state_dict())', 'pass', NUMBERS),
    Mistake("detector/seminar/layers.py", 'CLOSE = 1e-4', 'CLOSE = 1e-9', NUMBERS),
    Mistake("detector/seminar/layers.py", 'Convolution(filters, 1, kernel=(3, 3))', 'Convolution(channels, 1, kernel=(3, 3))', NUMBERS),
    Mistake("detector/seminar/layers.py", 'stride: int = 3,\n    padding', 'stride: int = 2,\n    padding', NUMBERS),
    Mistake("detector/seminar/layers.py", 'bias=bias) for bias in (True, False))', 'bias=bias) for bias in (True, True))', NUMBERS),
    Mistake("detector/seminar/gradients.py", 'torch.rot90(distinct, quarter)', 'torch.rot90(distinct, quarter + 1)', NUMBERS),
    Mistake("detector/seminar/gradients.py", '_degrees(turns)}",\n        (', '_degrees((90,))}",\n        (', NUMBERS),
    Mistake("detector/seminar/gradients.py", 'unturned = _full(kernel.flip(0, 1), other, image)', 'unturned = _full(kernel, other, image)', NUMBERS),
    Mistake("detector/seminar/gradients.py", 'symbols[i + u][j + v].append', 'symbols[i][j + v].append', NUMBERS),
    Mistake("detector/seminar/gradients.py", 'f"w{u + 1}{v + 1}"', 'f"w{v + 1}{u + 1}"', NUMBERS),
    Mistake("detector/seminar/gradients.py", 'gradient = derivative * given', 'gradient = derivative + given', NUMBERS),
    Mistake("detector/seminar/gradients.py", 'X: Matrix = ((0, -1, 3), (2, 0.5, 1))', 'X: Matrix = ((0, 1, 3), (2, 0.5, 1))', NUMBERS),
    Mistake("detector/seminar/volumes.py", 'stride=(2 * temporal_stride, stride, stride))', 'stride=(temporal_stride, stride, stride))', NUMBERS),
    Mistake("detector/seminar/volumes.py", '(temporal_stride, stride, stride), padding)', '(stride, temporal_stride, stride), padding)', NUMBERS),
    Mistake("detector/seminar/volumes.py", '"half" if 2 * part == whole else', '"half" if part < whole else', NUMBERS),
    Mistake("detector/seminar/answer.py", 'return all(self._compares(one, self.bound) for one in values)', 'return any(self._compares(one, self.bound) for one in values)', SEMINAR),
    Mistake("detector/seminar/answer.py", 'return isfinite(value) and (value < bound', 'return (value < bound', SEMINAR),
    Mistake("detector/seminar/answer.py", 'return bool(self.conditions) and all(', 'return all(', SEMINAR),
    Mistake("detector/seminar/run.py", 'if foreign := [name for name in numbers if name not in own]:', 'if foreign := [name for name in numbers if name not in GIVEN]:', SEMINAR),
    Mistake("detector/seminar/run.py", 'given.question != "all", colour', 'False, colour', SEMINAR),
    Mistake("detector/seminar/run.py", '        sys.exit(1)', '        sys.exit(0)', SEMINAR),
    Mistake("detector/seminar/sharing.py", 'BUDGET - first) // following', 'BUDGET - first) // following + 1', SHARING),
    Mistake("detector/seminar/sharing.py", 'nn.Conv2d(1, FILTERS, KERNEL, stride=2, padding=KERNEL // 2)', 'nn.Conv2d(1, FILTERS, KERNEL, stride=3, padding=KERNEL // 2)', SHARING),
    Mistake("detector/seminar/sharing.py", 'if shared:\n        return nn.Conv2d(channels, filters, kernel, padding=kernel // 2)', 'if not shared:\n        return nn.Conv2d(channels, filters, kernel, padding=kernel // 2)', SHARING),
    Mistake("detector/seminar/sharing.py", '+ right * HALF[1]', '', SHARING),
    Mistake("detector/seminar/sharing.py", 'ROUNDED = 1e-12', 'ROUNDED = 0.0', SHARING),
    Mistake("detector/seminar/faces.py", 'is_mouth = arc == 2 or not aligned', 'is_mouth = True', FACES),
    Mistake("detector/seminar/faces.py", 'if aligned:\n            places = [*EYES, MOUTH]', 'if not aligned:\n            places = [*EYES, MOUTH]', FACES),
    Mistake("detector/seminar/faces.py", 'learned(shared, task == "aligned", number, seed, steps)', 'learned(True, task == "aligned", number, seed, steps)', FACES),
    Mistake("detector/seminar/deep_network.py", 'nn.init.normal_(layer.weight, setup.mean / fan_in, setup.gain / math.sqrt(fan_in))', 'nn.init.normal_(layer.weight, 0.0, setup.gain / math.sqrt(fan_in))', DEAD),
    Mistake("detector/seminar/deep_network.py", 'nn.init.constant_(layer.bias, setup.bias)', 'nn.init.constant_(layer.bias, 0.0)', DEAD),
    Mistake("detector/seminar/deep_network.py", '            if self.setup.norm:', '            if False:', DEAD),
    Mistake("detector/seminar/deep_network.py", 'if self.setup.residual and number else y', 'if False else y', DEAD),
    Mistake("detector/seminar/deep_network.py", 'setup.gain / math.sqrt(fan_in))', '1.0 / math.sqrt(fan_in))', SIZES),
    Mistake("detector/seminar/deep_network.py", 'if setup.clip:', 'if False:', SIZES),
    Mistake("detector/seminar/deep_network.py", 'y / math.sqrt(self.setup.depth)', 'y * math.sqrt(self.setup.depth)', SIZES),
    Mistake("detector/seminar/deep_network.py", 'setup.lr * share * gradient', 'setup.lr * share.mean() * gradient', SIZES),
    Mistake("detector/seminar/size_training.py", 'found.append(sums.masked_fill(outside, 0.0))', 'found.append(sums)', BOXES),
    Mistake("detector/seminar/size_training.py", '(centres / STRIDE).long()', '(centres / STRIDE).long() * 0', BOXES),
    Mistake("detector/seminar/dead_units.py", 'comes back in {len(back)} of', 'comes back in {len(back) + 20} of', DEAD),
    Mistake("detector/seminar/box_losses.py", 'f"is {spread**2:.0f} "', 'f"is {spread**3:.0f} "', BOXES),
    Mistake("detector/seminar/stages.py", 'predictions = raw["class_logits"].shape[1]', 'predictions = raw["class_logits"].shape[1] - 1', STAGES),
    Mistake("detector/seminar/yolov4.py", 'Member(*_PATHS, "BiFPN")', 'Member(*_BLOCKS, "BiFPN")', CATEGORIES),
    Mistake("detector/seminar/dead_units.py", '[] if frozen_below else below.parameters()', '[] if not frozen_below else below.parameters()', DEAD),
    Mistake("detector/seminar/dead_units.py", '@ above.weight[0]).max() - 0.05', '@ above.weight[0]).max() + 0.05', DEAD),
    Mistake("detector/seminar/dead_units.py", 'activation="elu"', 'activation="relu"', DEAD),
    Mistake("detector/seminar/dead_units.py", 'functional.leaky_relu(x, 0.1)', 'functional.leaky_relu(x, 0.9)', DEAD),
    Mistake("detector/seminar/gradient_sizes.py", 'EXPLODING = replace(VANISHING, gain=2.4)', 'EXPLODING = replace(VANISHING, gain=1.4)', SIZES),
    Mistake("detector/seminar/gradient_sizes.py", 'return tuple(one.gradients[0] / one.gradients[-1] for one in courses)', 'return tuple(one.gradients[-1] / one.gradients[0] for one in courses)', SIZES),
    Mistake("detector/seminar/stages.py", 'beyond[int(top) - 1 : int(bottom) + 2, int(left) - 1 : int(right) + 2] = False', 'pass', STAGES),
    Mistake("detector/seminar/stages.py", 'columns[-1] - columns[0] + 1)', 'columns[-1] - columns[0] + 1000)', STAGES),
    Mistake("detector/seminar/stages.py", 'warp(pixels, [region], detector.region_size, detector.context)', 'warp(pixels, [region], detector.region_size, 0.4)', STAGES),
    Mistake("detector/seminar/backbones.py", 'Residual(width, width // 2, shortcut, activation="relu")', 'Residual(width, width // 2, True, activation="relu")', BACKBONES),
    Mistake("detector/seminar/backbones.py", 'config.VGGOptions(depth=16)', 'config.ResNetOptions(depth=50)', BACKBONES),
    Mistake("detector/seminar/necks.py", '"fpn": config.FPNOptions()', '"fpn": config.NoNeckOptions()', CATEGORIES),
    Mistake("detector/seminar/yolov4.py", 'config.PANOptions(spp=True)', 'config.TimmOptions(model="no_such")', CATEGORIES),
    Mistake("detector/seminar/yolov4.py", '_SPARSE = "head: dense prediction", "head: sparse prediction"', '_SPARSE = "head: dense prediction", "head: dense prediction"', CATEGORIES),
    Mistake("detector/seminar/box_losses.py", 'target + side * torch.tensor', 'target + 8 * torch.tensor', BOXES),
    Mistake("detector/seminar/box_losses.py", 'a - b for a, b in zip(ap["ciou"][size]', 'b - a for a, b in zip(ap["ciou"][size]', BOXES),
    Mistake("detector/seminar/box_losses.py", '_gain(ap, "l1", "large"), strict', '(0.0,) * len(seeds), strict', BOXES),
    Mistake("detector/seminar/size_training.py", 'losses = [BoxLoss(kind)', 'losses = [BoxLoss("l2")', BOXES),
    Mistake("detector/seminar/factorisation.py", 'cost(whole, ceil(fewer) - 1)', 'cost(whole, ceil(fewer) + 1)', FACTORISED),
    Mistake("detector/seminar/factorisation.py", 'replace(whole, stride=(2, 1, 1))', 'replace(whole, stride=(1, 2, 2))', FACTORISED),
    Mistake("detector/seminar/factorisation.py", '9 * channels * between', '6 * channels * between', FACTORISED),
    # the seminar's page, whose arithmetic is JavaScript (noticed where there is a Chromium)
    Mistake("detector/seminar/page/arithmetic.js", "const reach = dilation * (kernel - 1) + 1;", "const reach = dilation * kernel;", PAGE),
    Mistake("detector/seminar/page/arithmetic.js", "const turned = (kernel) => kernel.map((row) => [...row].reverse()).reverse();", "const turned = (kernel) => [...kernel].reverse();", PAGE),
    Mistake("detector/seminar/page/arithmetic.js", "correlate(padded(x, padding), gradient, 1, stride, kernelSize)", "correlate(padded(x, padding), gradient, stride, 1, kernelSize)", PAGE),
    Mistake("detector/seminar/page/arithmetic.js", "(value > 0 ? 1 : 0)", "(value >= 0 ? 1 : 0)", PAGE),
    Mistake("detector/seminar/page/arithmetic.js", "padding += layer.padding * stride;", "padding += layer.padding;", PAGE),
    Mistake("detector/seminar/page/arithmetic.js", "const place = at * stride + u * dilation - padding;", "const place = at * stride + u - padding;", PAGE),
    Mistake("detector/seminar/page/questions.js", "n.kernel ** 3 * n.channels", "n.kernel ** 2 * n.channels", PAGE),
    # what shows on a GPU alone
    Mistake("detector/losses/box.py", "torch.stack([one / side for one, side in zip(difference, sides, strict=True)], dim=-1)", "torch.stack(difference, dim=-1) / predicted.new_tensor(sides)", ELSEWHERE),
    Mistake("detector/assigners/pairs.py", "if boxes.is_cuda else flat.to(device)", "if False else flat.to(device)", ELSEWHERE),
    Mistake("detector/heads/points.py", "@lru_cache(maxsize=32)", "@lru_cache(maxsize=0)", ELSEWHERE),
    Mistake("detector/nms.py", "return tensor.is_cuda", "return False", ELSEWHERE),
    # prediction
    Mistake("detector/inference/folding.py", "scale = (variance + norm.eps).rsqrt()", "scale = variance.rsqrt()", FOLDING),
    Mistake("detector/inference/folding.py", "and self.uses[given] == 1 and self.uses[mean] == 1", "and self.uses[mean] == 1", FOLDING),
    Mistake("detector/inference/folding.py", "return self.calls[module] == 1 and self.uses[id(weight)] == 1", "return True", FOLDING),
    Mistake("detector/inference/folding.py", "given[0] in self.made and self.uses[given[0]] == 1", "given[0] in self.made", FOLDING),
    Mistake("detector/nms.py", "index = index[order[: self.candidates]]", "index = index[: self.candidates]", NMS),
    Mistake("detector/nms.py", "above &= best >= least", "above &= best > least", NMS),
    Mistake("detector/nms.py", "group = image * (labels.max() + 1) + group", "group = image + group", NMS),
    Mistake("detector/nms.py", "FIRST_TRY * self.max_detections, count), count)", "FIRST_TRY * self.max_detections, count),)", NMS),
    Mistake("detector/nms.py", "rows = _first(scores.amax(2), self.candidates).sort(1).values", "rows = _first(scores.amax(2), self.candidates)", NMS),
    Mistake("detector/inference/tiles.py", "return (near & inner).any(1)", "return near.any(1)", TILES),
    Mistake("detector/inference/pipeline.py", "put(_End(error))", "put(_End())", PREDICT),
    Mistake("detector/evaluation/second_look.py", "side - transform[0, 0] * target.original_size[1] - transform[0, 2]", "side - transform[0, 0] * target.original_size[1]", "tests/evaluation/test_second_look.py"),
    Mistake("detector/evaluation/analysis/label_errors.py", "sure = again.scores >= best.threshold[again.labels, 0]", "sure = again.scores > 0", f"{_ANALYSIS}/test_label_errors.py"),
    Mistake("detector/evaluation/analysis/label_errors.py", "(again.images == one.image) & (again.labels == matched.labels[d])", "(again.images == one.image)", f"{_ANALYSIS}/test_label_errors.py"),
    Mistake("detector/training/history.py", "if self._steps and self._epoch == epoch:", "if self._steps:", "tests/training/test_history.py"),
    Mistake("detector/training/history.py", "if epoch != self._epoch:", "if not self._epoch:", "tests/training/test_history.py"),
    Mistake("detector/training/module.py", "            history=self.history.rows,\n", "", "tests/training/test_history.py"),
    Mistake("detector/types.py", "ids = None if self.ids is None else self.ids[index]", "ids = self.ids", TRACKING),
    Mistake("detector/inference/predict.py", 'return Tracker(given.score, source.frame_rate)', 'return None', TRACKING),
    Mistake("detector/inference/predict.py", "takewhile(lambda _: window is None or not window.closed, detected)", "detected", WINDOW),
    Mistake("detector/inference/predict.py", "(1 if isinstance(source, Video) and source.live else BATCH_SIZE)", "BATCH_SIZE", WINDOW),
    Mistake("detector/inference/predict.py", "return 0.0 if source.live else 1 / source.frame_rate", "return 0.0", WINDOW),
]  # fmt: skip


IMPORTED = (
    "torch",
    "torchvision",
    "lightning",
    "cv2",
    "matplotlib.pyplot",
    "hydra",
    "hypothesis",
    "pycocotools.cocoeval",
)
"""What takes seconds to import and starts no thread as long as OpenBLAS may not."""


@dataclass
class Trial:
    """A mistake planted in a copy of the project, and the process that runs its tests."""

    mistake: Mistake
    root: Path
    started: float
    process: int = 0

    def start(self) -> None:
        """Plants the mistake and forks."""
        planted = self.mistake.planted(self.root)
        (self.root / self.mistake.file).write_text(planted, encoding="utf-8")
        sys.stdout.flush()
        self.process = os.fork()
        if not self.process:
            os._exit(run_tests(self.root, self.mistake.tests.split()))

    def noticed(self, code: int) -> bool:
        """Whether a test failed. Raises RuntimeError where pytest itself could not go on."""
        shutil.copy2(ROOT / self.mistake.file, self.root / self.mistake.file)
        if code not in (0, 1):
            output = (self.root.parent / "output").read_text(encoding="utf-8")
            raise RuntimeError(f"{self.mistake.file}: {self.mistake.new!r}: pytest ended with {code}\n{output[-2000:]}")
        return code == 1


def run_tests(root: Path, tests: list[str]) -> int:
    """Runs the fast ones of these tests in this process until one fails; pytest's exit code."""
    output = os.open(root.parent / "output", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.setsid()
    os.chdir(root)
    os.environ["PYTHONPATH"] = str(root)
    sys.path[:] = [str(root), *(entry for entry in sys.path if entry not in (str(ROOT), str(ROOT / "tests")))]
    options = ["-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", f"--basetemp={root.parent / 'temporary'}"]
    return int(pytest.main([*options, *tests]))


def copy_of_the_project(folder: Path) -> Path:
    """The tracked files, below a new folder."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.splitlines():
        (folder / "detector" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / "detector" / name, follow_symlinks=False)
    return folder / "detector"


def main(words: list[str]) -> int:
    """Tries the mistakes whose file or text holds one of the words, or all; the exit code."""
    chosen = [one for one in MISTAKES if not words or any(word in f"{one.file} {one.old}" for word in words)]
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "MPLBACKEND": "agg"}
    sys.dont_write_bytecode = True  # two mistakes in one file may have the same size and second
    for name in IMPORTED:
        importlib.import_module(name)
    waiting, tried, unnoticed = list(reversed(chosen)), 0, 0
    running: dict[int, Trial] = {}
    with tempfile.TemporaryDirectory(prefix="mistakes_") as folder:
        free = [copy_of_the_project(Path(folder) / str(number)) for number in range(os.cpu_count() or 1)]
        while waiting or running:
            while waiting and free:
                trial = Trial(waiting.pop(), free.pop(), time.monotonic())
                trial.start()
                running[trial.process] = trial
            process, status = os.wait()
            trial = running.pop(process)
            red = trial.noticed(os.waitstatus_to_exitcode(status))
            free.append(trial.root)
            tried, unnoticed = tried + 1, unnoticed + (not red)
            print(
                f"{tried:3}/{len(chosen)} {'red  ' if red else 'GREEN'} {time.monotonic() - trial.started:4.0f} s  "
                f"{trial.mistake.file}: {trial.mistake.old.strip()} -> {trial.mistake.new.strip()}",
                flush=True,
            )
    print(f"{len(chosen) - unnoticed} of {len(chosen)} mistakes are noticed")
    return int(unnoticed > 0 or not chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
