import pytest

from detector import config
from detector.experiments.benchmark import clock as clock_file
from detector.experiments.benchmark.clock import Clock, figure


class FakeTime:
    """A clock that only moves when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(clock_file.time, "perf_counter", lambda: self.now)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    return FakeTime(monkeypatch)


def settings(**values: object) -> config.Benchmark:
    return config.Benchmark(**values)  # type: ignore[arg-type]


def test_warm_up_steps_are_not_timed_and_a_repeat_lasts_at_least_so_many_seconds(time: FakeTime) -> None:
    clock = Clock(settings(warmup=2, repeats=2, seconds=1.0))
    clock.start()
    durations = [50.0, 30.0] + [0.4, 0.4, 0.4] + [0.25] * 4
    for duration in durations:
        assert not clock.finished
        time.now += duration
        clock.step(8)
    assert clock.finished
    assert clock.rates == pytest.approx([3 * 8 / 1.2, 4 * 8 / 1.0])


def test_without_warm_up_the_first_step_counts(time: FakeTime) -> None:
    clock = Clock(settings(warmup=0, repeats=1, seconds=0.0))
    clock.start()
    time.now += 2.0
    clock.step(5)
    assert clock.finished
    assert clock.rates == pytest.approx([2.5])


def test_what_the_device_still_has_to_do_counts_and_is_not_carried_into_the_next_repeat(time: FakeTime) -> None:
    backlog = 0.0

    def wait() -> None:
        nonlocal backlog
        time.now += backlog
        backlog = 0.0

    clock = Clock(settings(warmup=1, repeats=2, seconds=1.0), wait)
    clock.start()
    for _ in range(5):  # the host takes 0.5 s to ask for a step, the device 2 s more to do it
        time.now += 0.5
        backlog += 2.0
        clock.step(10)
    assert clock.finished
    assert clock.rates == pytest.approx([20 / 5.0, 20 / 5.0])


def test_a_figure_gives_median_and_spread_with_four_digits() -> None:
    assert figure([3.14159, 1.0, 200.0, 123.456], "ms") == {
        "unit": "ms",
        "median": 63.3,
        "min": 1.0,
        "max": 200.0,
        "repeats": 4,
        "values": [3.142, 1.0, 200.0, 123.5],
    }
