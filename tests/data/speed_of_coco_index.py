"""Seconds and memory to read an index of 100,000 images and 850,000 boxes, beside `json.loads` of the same text.

    python tests/data/speed_of_coco_index.py [REPEATS]

Both are measured in turn, in processes of their own with everything imported, in seconds of one core; the ratio is that of
two that followed one another. What is left is by how much the process is larger afterwards than before.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

DETECTOR = Path(__file__).parents[2]
IMAGES, BOXES, CLASSES = 100_000, 850_000, 80


def make(folder: Path) -> None:
    """Writes an annotation file as large as that of COCO's train2017 without outlines, and empty image files."""
    rng = np.random.default_rng(0)
    ids, sides = rng.permutation(6 * IMAGES)[:IMAGES].tolist(), rng.integers(300, 641, (IMAGES, 2))
    images = [
        {"id": i, "file_name": f"{i:012d}.jpg", "height": height, "width": width}
        for i, (height, width) in zip(ids, sides.tolist(), strict=True)
    ]
    owners = rng.integers(IMAGES, size=BOXES)
    size = rng.uniform(5, 200, (BOXES, 2)).round(2)
    place = (rng.random((BOXES, 2)) * (sides[owners][:, ::-1] - size)).round(2)
    columns = (
        owners.tolist(),
        rng.integers(1, CLASSES + 1, BOXES).tolist(),
        np.hstack([place, size]).tolist(),
        (size.prod(axis=1) * 0.7).tolist(),
        (rng.random(BOXES) < 0.01).astype(int).tolist(),
    )
    annotations = [
        {"id": n, "image_id": ids[owner], "category_id": category, "bbox": box, "area": area, "iscrowd": crowd}
        for n, (owner, category, box, area, crowd) in enumerate(zip(*columns, strict=True), 1)
    ]
    categories = [{"id": k, "name": f"class {k}"} for k in range(1, CLASSES + 1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "train.json").write_text(json.dumps(content))
    (folder / "train").mkdir()
    for image in images:
        (folder / "train" / str(image["file_name"])).touch()


def measure(kind: str, folder: Path) -> None:
    """Prints seconds and megabytes."""
    from detector import config
    from detector.data.read import read_index

    small = {"images": [{"id": 1, "file_name": "a", "height": 9, "width": 9}], "categories": [{"id": 1, "name": "a"}]}
    (folder / "small.json").write_text(json.dumps({**small, "annotations": []}))
    read_index(config.Coco(root=str(folder), train="small.json"), "train")  # imports whatever is imported late
    text = (folder / "train.json").read_text() if kind == "json.loads" else ""
    before, start = psutil.Process().memory_info().rss, time.process_time()
    kept = json.loads(text) if text else read_index(config.Coco(root=str(folder), train="train.json"), "train")
    seconds = time.process_time() - start
    print(json.dumps([seconds, (psutil.Process().memory_info().rss - before) / 1e6]))
    assert len(kept)


def main() -> None:
    if len(sys.argv) == 3:
        measure(sys.argv[1], Path(sys.argv[2]))
        return
    repeats = int(sys.argv[1]) if len(sys.argv) == 2 else 3
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(DETECTOR)}
    figures: dict[str, list[list[float]]] = {"json.loads": [], "index": []}
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        for _ in range(repeats):
            for kind, found in figures.items():
                command = [sys.executable, __file__, kind, folder]
                answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
                found.append(json.loads(answer.splitlines()[-1]))
    for kind, found in figures.items():
        seconds, megabytes = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"{kind:10}  {seconds:6.2f} s  {megabytes:5.0f} MB left")
    ratios = [index[0] / loads[0] for index, loads in zip(figures["index"], figures["json.loads"], strict=True)]
    print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
