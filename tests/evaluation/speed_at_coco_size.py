"""Seconds and memory from two files to COCO's numbers at the size of val2017, beside pycocotools called by hand.

    python tests/evaluation/speed_at_coco_size.py [REPEATS]

Each measurement is a process of its own with one thread. `files to table` begins when everything is imported and ends when
the table is printed; `with analysis` is the same with `analysis.json`, which the others leave out; `whole command` is
`scripts/evaluate.py detections=...` from start to exit. Memory is the peak of the process, and how far that lies above what
it held when everything was imported. Of several repeats, taken in turn, the median is shown; the ratio is that of two
measurements which followed one another.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

DETECTOR = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "PYTHONPATH": str(DETECTOR)}
KINDS = ("pycocotools by hand", "files to table", "with analysis", "whole command")


def peak() -> float:
    """Megabytes that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def make(folder: Path) -> None:
    """Writes annotations and detections."""
    from test_coco_size import DETECTIONS, detections_on_thresholds, val2017_of_chance

    from detector.evaluation.results import write_results

    content = val2017_of_chance(0)
    (folder / "annotations.json").write_text(json.dumps(content))
    write_results(folder / "results.json", detections_on_thresholds(content, DETECTIONS, 1))


def measure(kind: str, folder: Path) -> None:
    """Prints seconds, megabytes and the twelve numbers as JSON on the last line."""
    annotations, results = folder / "annotations.json", folder / "results.json"
    if kind == "pycocotools by hand":
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        before, wall, cpu = peak(), time.perf_counter(), time.process_time()
        truth = COCO(str(annotations))
        found = COCOeval(truth, truth.loadRes(str(results)), "bbox")
        found.evaluate()
        found.accumulate()
        found.summarize()
        numbers = found.stats.tolist()
    else:
        from detector import config
        from detector.evaluation.coco import METRICS
        from detector.evaluation.run import run

        data = config.Coco(root=str(folder), val=annotations.name)
        given = config.Evaluate(
            data=data,
            detections=str(results),
            output=str(folder / str(os.getpid())),
            evaluation=config.Evaluation(report=kind == "with analysis"),
        )
        before, wall, cpu = peak(), time.perf_counter(), time.process_time()
        metrics = run(given)
        numbers = [metrics[name] for name in METRICS]
    figures = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    print(json.dumps({**figures, "peak": peak(), "growth": peak() - before, "numbers": numbers}))


def in_process(kind: str, folder: Path) -> dict[str, Any]:
    """What `measure` prints, of a process of its own; of a whole command what the operating system says."""
    command = [sys.executable, __file__, "measure", kind, str(folder)]
    if kind == "whole command":
        places = [
            "data=coco",
            f"data.root={folder}",
            "data.val=annotations.json",
            f"detections={folder / 'results.json'}",
            "evaluation.report=false",
        ]
        output = folder / f"command{time.monotonic_ns()}"
        command = [sys.executable, str(DETECTOR / "scripts/evaluate.py"), *places, f"output={output}"]
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as printed:
        child = subprocess.Popen(command, stdout=printed, env=ENVIRONMENT)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"{kind} ended with {child.returncode}")
        printed.seek(0)
        if kind != "whole command":
            return json.loads(printed.read().splitlines()[-1])
    megabytes = used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    metrics = json.loads((output / "metrics.json").read_text())
    return {
        "wall": time.perf_counter() - started,
        "cpu": used.ru_utime + used.ru_stime,
        "peak": megabytes,
        "growth": float("nan"),
        "numbers": list(metrics.values())[:12],
    }


def main(repeats: int) -> None:
    """Measures, and prints a table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # by another process: one that is started by a large process counts as large from its start
        subprocess.run([sys.executable, __file__, "make", name], check=True, env=ENVIRONMENT)
        taken = [{kind: in_process(kind, folder) for kind in KINDS} for _ in range(repeats)]
    for kind in KINDS:
        numbers = [one[kind]["numbers"] for one in taken]
        assert all(one == taken[0][KINDS[0]]["numbers"] for one in numbers), f"{kind}: other numbers"
    print(f"{'':22}{'wall s':>9}{'cpu s':>9}{'ratio':>8}{'peak MB':>9}{'ratio':>8}{'above imports':>15}{'ratio':>8}")
    for kind in KINDS:

        def median(key: str, kind: str = kind) -> float:
            return statistics.median(one[kind][key] for one in taken)

        def ratio(key: str, kind: str = kind) -> float:
            return statistics.median(one[kind][key] / one[KINDS[0]][key] for one in taken)

        print(
            f"{kind:22}{median('wall'):9.2f}{median('cpu'):9.2f}{ratio('cpu'):8.3f}{median('peak'):9.0f}{ratio('peak'):8.2f}"
            f"{median('growth'):15.0f}{ratio('growth'):8.2f}"
        )
    print("all of the twelve numbers are equal to the last digit")


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(sys.argv[2], Path(sys.argv[3]))
    elif sys.argv[1:2] == ["make"]:
        make(Path(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
