"""The process of one job: python -m detector.cli.train_job FOLDER PLUGIN..., with standard input held open by the sweep."""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
from pathlib import Path

from detector import signals


def main(folder: Path, plugins: list[str]) -> None:
    """Goes on with the run in `folder`, or starts it, and ends when the sweep ends, however that ends."""
    signals.install()
    threading.Thread(target=_end_with_the_sweep, daemon=True).start()
    from detector.cli.commands import imported
    from detector.cli.user_errors import answer_errors

    with answer_errors():
        from detector import config
        from detector.data.processes import expect_loading
        from detector.memory import answer_memory
        from detector.training.run_folder import read_config

        config.load_plugins(plugins)
        settings = dataclasses.replace(read_config(folder), resume=str(folder))
        expect_loading(settings.data, settings.augment)
        train = imported("detector.training.train:train")

        with signals.unwinding(), answer_memory(settings):
            train(settings)
    signals.done()


def _end_with_the_sweep() -> None:
    """A sweep that is killed cannot tell anyone; the operating system closes its end of the pipe, and reading ends."""
    while os.read(0, 1):
        pass
    signals.end_at_once(None, 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
