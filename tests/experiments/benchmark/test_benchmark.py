import dataclasses
import json
import math
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import yaml

from detector import config
from detector.data import module as data_module_file
from detector.data.dataset import DetectionDataset
from detector.data.sampler import Key
from detector.errors import UserError
from detector.experiments.benchmark.health import measure_health
from detector.experiments.benchmark.loader import measure_loader
from detector.experiments.benchmark.memory import held, peak_resident
from detector.experiments.benchmark.prediction import measure_prediction
from detector.experiments.benchmark.run import _in_new_process, run
from detector.experiments.benchmark.training import measure_training
from detector.inference.predictor import Predictor
from detector.training import module as module_file
from detector.training.health.measure import HealthMeter
from detector.types import Batch, Detections

Configure = Callable[..., config.Train]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def benchmark(tiny: Configure) -> Callable[..., config.Benchmark]:
    """The tiny experiment, one step a repeat; keyword arguments replace fields."""

    def configure(**values: object) -> config.Benchmark:
        experiment = {f.name: getattr(tiny(), f.name) for f in dataclasses.fields(config.Experiment)}
        quick = {"warmup": 1, "repeats": 2, "seconds": 0.0, "epochs": 2}
        return config.Benchmark(**{**experiment, **quick, **values})

    return configure


@pytest.fixture
def on_sample(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], Any]], None]:
    """Has a function called with the epoch whenever a sample is made."""
    sample = DetectionDataset._sample

    def replace(function: Callable[[int], Any]) -> None:
        def replaced(self: DetectionDataset, key: tuple[int, int], planes: np.ndarray) -> Any:
            function(key[0])
            return sample(self, key, planes)

        monkeypatch.setattr(DetectionDataset, "_sample", replaced)

    return replace


OnSample = Callable[[Callable[[int], Any]], None]


def numbers(report: Any) -> Iterator[float]:
    values = report.values() if isinstance(report, dict) else report if isinstance(report, list) else []
    for value in values:
        if isinstance(value, int | float):
            yield value
        yield from numbers(value)


# -------------------------------------------------------------------------------------------------------------- loader
def test_a_loader_that_needs_20_ms_an_image_gives_less_than_50_images_a_second(
    benchmark: Callable[..., config.Benchmark], on_sample: OnSample
) -> None:
    loaded = []

    def slow(epoch: int) -> None:
        loaded.append(epoch)
        time.sleep(0.02)

    on_sample(slow)
    report = measure_loader(benchmark(epochs=1, warmup=2, repeats=3))
    rate = report["images_per_second"]
    assert 10 < rate["min"] <= rate["median"] <= rate["max"] < 50
    assert rate["repeats"] == len(rate["values"]) == 3
    assert len(loaded) == 12 + (2 + 3) * 4  # an epoch for the memory, then batches of 4: warm-up and repeats


def test_the_epochs_of_the_loader_never_reach_those_without_mosaic(
    benchmark: Callable[..., config.Benchmark], on_sample: OnSample
) -> None:
    epochs: list[int] = []
    on_sample(epochs.append)
    augment = config.Augment(name="mosaic", mosaic=1.0, mixing_off_epochs=2)
    settings = benchmark(augment=augment, epochs=7, repeats=1, trainer=config.Trainer(epochs=5, accelerator="cpu"))
    measure_loader(settings)
    assert epochs[: 7 * 12 : 12] == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_memory_is_read_after_every_epoch(benchmark: Callable[..., config.Benchmark], workers: int) -> None:
    settings = benchmark(epochs=3)
    settings.data.workers = workers
    memory = measure_loader(settings)["loader_memory"]
    assert len(memory["after_each_epoch"]) == 3
    assert all(5 < value < 100_000 for value in memory["after_each_epoch"])


def test_no_epochs_read_no_memory(benchmark: Callable[..., config.Benchmark]) -> None:
    report = measure_loader(benchmark(epochs=0))
    assert report["loader_memory"]["after_each_epoch"] == []
    assert report["images_per_second"]["median"] > 0


class LeakingDataset(DetectionDataset):
    """Keeps 8 MiB for every sample that it makes."""

    leaked: ClassVar[list[np.ndarray]] = []

    def _sample(self, key: Key, planes: np.ndarray) -> Any:
        self.leaked.append(np.ones(8 * 2**20, np.uint8))
        return super()._sample(key, planes)


@pytest.mark.slow
def test_loader_processes_that_leak_are_seen(
    benchmark: Callable[..., config.Benchmark], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_module_file, "DetectionDataset", LeakingDataset)
    settings = benchmark(epochs=3, repeats=1)
    settings.data.workers = 1
    first, _, last = measure_loader(settings)["loader_memory"]["after_each_epoch"]
    assert last - first == pytest.approx(2 * 12 * 8, rel=0.3)  # 12 images an epoch, and what the process takes itself


# -------------------------------------------------------------------------------------------------------------- memory
def _hold(size: int, started: Any, take: Any, taken: Any, done: Any) -> None:
    started.set()
    take.wait()
    kept = np.ones(size, np.uint8)
    taken.set()
    done.wait()
    assert kept.all()


@pytest.mark.slow
def test_memory_held_counts_what_another_process_holds() -> None:
    context = multiprocessing.get_context("spawn")  # shares next to nothing with this process
    started, take, taken, done = (context.Event() for _ in range(4))
    process = context.Process(target=_hold, args=(64 * 2**20, started, take, taken, done))
    process.start()
    assert started.wait(300)
    assert process.pid is not None
    before = held([process.pid])
    take.set()
    assert taken.wait(300)
    more = held([process.pid]) - before
    done.set()
    process.join()
    assert more == pytest.approx(64, abs=8)


def _peaks_around_a_block(size: int, results: Any) -> None:
    before = peak_resident()
    np.ones(size, np.uint8)
    results.put((before, peak_resident(), held([os.getpid()])))


@pytest.mark.slow
def test_the_peak_stays_when_the_memory_is_given_back() -> None:
    context = multiprocessing.get_context("spawn")  # a process with a peak of its own
    results = context.Queue()
    process = context.Process(target=_peaks_around_a_block, args=(400 * 2**20, results))
    process.start()
    before, after, now = results.get(timeout=300)
    process.join()
    assert after - before == pytest.approx(400, abs=40)
    assert now < after - 300


# ---------------------------------------------------------------------------------------------------- train and predict
def test_a_training_step_is_timed_as_often_as_asked_and_does_all_that_a_run_does(
    benchmark: Callable[..., config.Benchmark], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = {"forward": 0, "clip": 0, "average": 0}

    def count(owner: Any, name: str, key: str) -> None:
        original = getattr(owner, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            calls[key] += 1
            return original(*arguments, **named)

        monkeypatch.setattr(owner, name, counted)

    count(module_file.DetectionModule, "training_step", "forward")
    count(torch.nn.utils, "clip_grad_norm_", "clip")
    count(module_file.AveragedDetector, "update", "average")
    trainer = config.Trainer(epochs=2, accelerator="cpu", precision="bf16", accumulate=2, frozen_epochs=1)
    report = measure_training(benchmark(trainer=trainer, warmup=2, repeats=3))
    assert report["images_per_second"]["repeats"] == 3
    assert all(math.isfinite(n) and n > 0 for n in numbers(report))
    assert report["precision"] == "bf16-mixed"
    assert report["batch_size"] == 4
    # 2 + 3 steps of 2 batches, and the batch at whose start the clock had stopped
    assert calls == {"forward": 11, "clip": 5, "average": 5}


def test_training_images_a_second_agree_with_an_independent_count(
    benchmark: Callable[..., config.Benchmark], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = module_file.DetectionModule.training_step

    def slow(self: Any, batch: Any, index: int) -> Any:
        time.sleep(0.5)
        return step(self, batch, index)

    monkeypatch.setattr(module_file.DetectionModule, "training_step", slow)
    rate = measure_training(benchmark())["images_per_second"]
    assert 1 < rate["median"] < 4 / 0.5


@pytest.mark.slow
def test_what_health_adds_to_a_step_is_its_own_time_divided_by_a_step_s(
    benchmark: Callable[..., config.Benchmark], monkeypatch: pytest.MonkeyPatch
) -> None:
    step, finish = module_file.DetectionModule.training_step, HealthMeter.finish

    def slow_step(self: Any, batch: Any, index: int) -> Any:
        time.sleep(0.5)
        return step(self, batch, index)

    def slow_finish(self: HealthMeter) -> Any:
        time.sleep(1.0)
        return finish(self)

    monkeypatch.setattr(module_file.DetectionModule, "training_step", slow_step)
    monkeypatch.setattr(HealthMeter, "finish", slow_finish)
    report = measure_health(benchmark(callbacks=config.Callbacks(name="health", health_every=50)))
    assert 1.2 < report["step_ratio"]["median"] < 3.5  # 3, less what else there is in a step
    assert len(report["step_ratio"]["values"]) == 2
    assert report["overhead"]["median"] == pytest.approx((report["step_ratio"]["median"] - 1) / 50, abs=1e-3)


def test_health_is_measured_at_an_interval_that_was_chosen(benchmark: Callable[..., config.Benchmark]) -> None:
    with pytest.raises(UserError, match="callbacks=health"):
        run(benchmark(measure=["health"]))


def test_prediction_is_measured_for_one_image_and_for_a_batch(benchmark: Callable[..., config.Benchmark]) -> None:
    report = measure_prediction(benchmark())
    assert report.keys() == {"batch_1", "batch_4", "precision", "peak_memory"}
    assert all(math.isfinite(n) and n > 0 for n in numbers(report))
    for size in ("batch_1", "batch_4"):
        rates, times = report[size]["images_per_second"], report[size]["time_an_image"]
        assert times["unit"] == "ms"
        assert times["values"] == pytest.approx([1000 / rate for rate in rates["values"]], rel=1e-3)
        assert rates["repeats"] == times["repeats"] == 2


def test_prediction_is_measured_in_the_precision_that_is_asked_for(
    benchmark: Callable[..., config.Benchmark], monkeypatch: pytest.MonkeyPatch
) -> None:
    detect, seen = Predictor.detect, set()

    def noted(self: Predictor, batch: Batch) -> list[Detections]:
        seen.add(self.dtype)
        return detect(self, batch)

    monkeypatch.setattr(Predictor, "detect", noted)
    assert measure_prediction(benchmark(precision="bf16", warmup=0, repeats=1))["precision"] == "bf16"
    assert seen == {torch.bfloat16}


def test_a_batch_larger_than_the_validation_split_is_filled(
    benchmark: Callable[..., config.Benchmark], monkeypatch: pytest.MonkeyPatch
) -> None:
    detect, seen = Predictor.detect, set()

    def noted(self: Predictor, batch: Batch) -> list[Detections]:
        seen.add(tuple(batch.images.shape))
        return detect(self, batch)

    monkeypatch.setattr(Predictor, "detect", noted)
    settings = benchmark(warmup=0, repeats=1)
    settings.data.batch_size = 7  # of 6 images
    assert "batch_7" in measure_prediction(settings)
    assert seen == {(1, 3, 96, 96), (7, 3, 96, 96)}


# ------------------------------------------------------------------------------------------------------------- command
def test_the_report_is_printed_and_written_and_only_what_was_asked_for_is_measured(
    benchmark: Callable[..., config.Benchmark], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = lambda phase, function, settings: function(settings)  # noqa: E731  # a process of its own takes seconds
    monkeypatch.setattr("detector.experiments.benchmark.run._in_new_process", here)
    settings = benchmark(measure=["predict"])
    run(settings)
    (file,) = (Path(settings.runs) / "benchmark" / "latest").glob("*.json")
    report = json.loads(file.read_text())
    assert json.loads(capsys.readouterr().out) == report
    assert report.keys() == {"config", "machine", "predict"}
    assert report["config"] == dataclasses.asdict(settings)
    assert report["machine"]["usable_cpus"] >= 1


@pytest.mark.slow
def test_a_mistake_found_in_a_phase_is_the_users(benchmark: Callable[..., config.Benchmark], tmp_path: Path) -> None:
    settings = benchmark(data=config.Voc(root=str(tmp_path / "nowhere")), measure=["loader"])
    with pytest.raises(UserError, match="nowhere"):
        run(settings)
    assert not Path(settings.runs).exists()


def test_a_phase_that_is_killed_says_which() -> None:
    with pytest.raises(UserError, match=r"train: the process was killed from outside"):
        _in_new_process("train", os._exit, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"measure": ["foo"]}, "measure=foo: choose among loader, train, predict, parts, health, operations"),
        ({"measure": []}, "measure=.*: choose among loader, train, predict, parts, health, operations"),
        ({"repeats": 0}, "repeats=0: at least 1"),
        ({"warmup": -1}, "warmup=-1: at least 0"),
        ({"trainer": config.Trainer(devices=2)}, "trainer.devices=2.*one device is measured"),
        ({"trainer": config.Trainer(accelerator="abacus")}, "accelerator=abacus"),
        ({"output": "/nowhere/at/all.json"}, "output=/nowhere/at/all.json: there is no folder /nowhere/at"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_anything_is_measured(
    benchmark: Callable[..., config.Benchmark], values: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run(benchmark(**values))


def test_a_mistake_on_the_command_line_gets_one_line_and_exit_code_2(tmp_path: Path) -> None:
    arguments = [sys.executable, str(ROOT / "scripts" / "benchmark.py"), "experiment=shapes", "measure=[foo]"]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: measure[0]=foo: choose one of loader, train, predict, parts, health, operations\n"
    assert list(tmp_path.iterdir()) == []


def test_the_command_takes_what_training_takes_with_the_same_defaults() -> None:
    train, benchmark = (
        yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text()) for name in ("train", "benchmark")
    )
    many_runs = [{"sweep": None}, {"freebie": None}]
    assert [one for one in train.pop("defaults")[1:] if one not in many_runs] == benchmark.pop("defaults")[1:]
    assert benchmark["hydra"].items() <= train["hydra"].items()
