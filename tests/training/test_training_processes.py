"""Processes that train together leave one another alone when they are told to stop."""

import signal
from types import FrameType
from typing import Any

import lightning as L
import pytest
import torch.distributed

from detector.training.processes import ending_together


def test_a_signal_and_a_step_start_no_collective_of_lightnings(monkeypatch: pytest.MonkeyPatch) -> None:
    broadcasts: list[Any] = []
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "broadcast", lambda *given, **named: broadcasts.append(given))
    trainer = L.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    before = signal.signal(signal.SIGTERM, note)
    try:
        with ending_together(trainer):
            trainer._signal_connector.register_signal_handlers()
            signal.raise_signal(signal.SIGTERM)
            trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]
    assert broadcasts == []
