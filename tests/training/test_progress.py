from __future__ import annotations

import fcntl
import io
import os
import re
import struct
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from detector import config
from detector.training import progress
from detector.training.progress import LogLines, clock, losses_in
from detector.training.train import train

Configure = Callable[..., config.Train]


def settings(tiny: Configure, **trainer: object) -> config.Train:
    part = config.Trainer(accelerator="cpu", precision="fp32", epochs=2, **trainer)  # type: ignore[arg-type]
    return tiny(trainer=part)


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> Iterator[list[bytes]]:
    """Standard output is a terminal so wide; what arrives there is appended."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    seen: list[bytes] = []

    def read() -> None:
        while True:
            try:
                seen.append(os.read(master, 2**16))
            except OSError:  # the other end is closed
                return

    reader = threading.Thread(target=read)
    reader.start()
    screen = os.fdopen(slave, "w")
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", screen)
        yield seen
    screen.close()
    reader.join()
    os.close(master)


def test_the_bar_keeps_rate_and_time_left_on_80_columns(tiny: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "BETWEEN_REFRESHES", 0.0)
    with terminal(monkeypatch, 80) as seen:
        train(settings(tiny))
    frames = [re.sub(r"\x1b\[[A-Z]", "", one) for one in re.split(r"[\r\n]+", b"".join(seen).decode())]
    bars = [one for one in frames if one.startswith("epoch ") and "%" in one]
    for epoch in ("epoch 1/2", "epoch 2/2"):
        assert any(one.startswith(epoch) for one in bars)
    running = [one for one in bars if re.search(r"\| [123]/3 ", one)]
    assert len(running) >= 6
    for one in running:
        assert len(one) <= 80, one
        assert re.search(r"\[\d\d:\d\d<\d\d:\d\d, +[\d.]+(it/s|s/it)(, \w+=[\d.e+]+)*\]$", one), one
    assert sum(", loss=" in one for one in running) >= 6  # a frame before the first loss has none
    whole = "\n".join(frames)
    assert "Epoch" not in whole
    assert "DataLoader" not in whole
    assert "v_num" not in whole
    assert sum(bool(re.match(r"epoch [12]/2: AP", one)) for one in frames) == 2  # lines of their own


def test_as_many_losses_are_shown_as_there_is_room_for() -> None:
    metrics = {"train/box": 2.789, "train/class": 23.41, "train/loss": float("nan"), "val/AP": 0.5, "lr": 0.1}
    assert losses_in(100, metrics) == {"loss": "nan", "box": "2.79", "class": "23.4"}
    assert losses_in(len(", loss=nan, box=2.79"), metrics) == {"loss": "nan", "box": "2.79"}
    assert losses_in(0, metrics) == {"loss": "nan"}


def test_a_log_gets_plain_lines_with_loss_rate_and_time_left(
    tiny: Configure, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE", 0.0)
    train(settings(tiny, accumulate=2))
    said = capsys.readouterr()
    assert "\r" not in said.out + said.err
    assert "\x1b" not in said.out + said.err
    lines = [line for line in said.out.splitlines() if re.match(r"epoch \d/2, batch", line)]
    places = [
        re.match(r"epoch (\d)/2, batch (\d)/3: loss ([\d.]+), [\d.e+]+ batches a second, \d+:\d\d left$", line)
        for line in lines
    ]
    assert [place and place.group(1, 2) for place in places] == [(str(e), str(b)) for e in (1, 2) for b in (1, 2, 3)]
    assert any(
        re.match(
            r"training on cpu \(\d+ threads?\) in fp32, batches of 4, a step every 2 batches, learning rate 0\.004$",
            line,
        )
        for line in said.out.splitlines()
    )


@pytest.mark.parametrize(
    ("optim", "images", "scaled", "line"),
    [
        (config.AdamWOptions(), 8, False, "learning rate 0.004"),
        (config.AdamWOptions(), 16, False, "learning rate 0.004"),
        (
            config.AdamWOptions(lr=0.01, lr_batch=16),
            64,
            True,
            "learning rate 0.02 (0.01 for 16 images a step, trainer.scale_lr)",
        ),
        (
            config.SGDOptions(),
            64,
            False,
            "learning rate 0.01 (optim.lr_batch: for 8 images a step; trainer.scale_lr=true makes it 0.08)",
        ),
    ],
)
def test_the_start_says_the_learning_rate_and_the_batch_that_it_is_for(
    optim: config.OptimizerOptions, images: int, scaled: bool, line: str
) -> None:
    assert progress.learning_rate(optim, images, scaled) == line


def test_a_line_tells_the_mean_loss_since_the_last_one_the_rate_of_training_and_the_time_left_of_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Batches of two seconds, and an evaluation of twelve after the fourth."""
    watch = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: watch.now))
    trainer: Any = SimpleNamespace(
        is_global_zero=True, accumulate_grad_batches=1, num_training_batches=4, current_epoch=0, max_epochs=2
    )
    lines, nothing = LogLines(), cast(Any, None)
    lines.on_train_start(trainer, nothing)
    for number in range(6):
        watch.now += 2
        trainer.current_epoch = number // 4
        lines.on_train_batch_end(trainer, nothing, {"loss": torch.tensor(number + 1.0)}, nothing, number % 4)
        if number == 3:
            lines.on_validation_start(trainer, nothing)
            watch.now += 12
            lines.on_validation_end(trainer, nothing)
    assert capsys.readouterr().out.splitlines() == [
        "epoch 1/2, batch 3/4: loss 2, 0.5 batches a second, 0:10 left",
        "epoch 2/2, batch 1/4: loss 4.5, 0.5 batches a second, 0:13 left",
    ]


def test_a_run_asked_to_be_silent_is(tiny: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE", 0.0)
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    train(settings(tiny, progress=False))
    assert ", batch " not in out.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (725, "12:05"), (3725, "1:02:05"), (1e9, "277777:46:40")]
)
def test_time_left_is_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
