"""The process of one job: python -m detector.sweep.train_job FOLDER, with standard input held open by the sweep."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import sys
import threading
from pathlib import Path

from detector.data.processes import expect_loading
from detector.mistakes import answer_mistakes
from detector.training.run_folder import read_config


def main(folder: Path) -> None:
    """Goes on with the run in `folder`, or starts it, and ends when the sweep ends, however that ends."""
    threading.Thread(target=_end_with_the_sweep, daemon=True).start()
    with answer_mistakes():
        settings = read_config(folder)
        expect_loading(settings.data, settings.augment)
        from detector.training.train import train

        train(dataclasses.replace(settings, resume=str(folder)))


def _end_with_the_sweep() -> None:
    """A sweep that is killed cannot tell anyone; the operating system closes its end of the pipe, and reading ends."""
    while os.read(0, 1):
        pass
    for loader in multiprocessing.active_children():  # one that is just sending a batch would wait for ever
        loader.kill()
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
