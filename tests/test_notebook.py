"""The notebook, run cell by cell in a fresh process as a kernel runs it: each code cell in order, in one namespace."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "notebooks" / "first_steps.ipynb"

RUNNER = """
import ast, json, sys
namespace = {"__name__": "__main__"}
for number, cell in enumerate(json.load(open(sys.argv[1]))["cells"]):
    if cell["cell_type"] == "code":
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"cell {number}", "exec"), namespace)
        if last is not None:  # a kernel shows it
            shown = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), namespace)
            print(f"cell {number}:", shown if shown is None or isinstance(shown, (int, float, tuple)) else type(shown).__name__)
print("done:", namespace["ciou"].metrics["AP50"], namespace["squared"].metrics["AP50"], namespace["module"].best["AP50"])
"""


def cells() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return found


def test_no_output_of_anybodys_machine_is_committed() -> None:
    assert [one["outputs"] for one in cells() if one["cell_type"] == "code" and one["outputs"]] == []
    assert [one["execution_count"] for one in cells() if one["cell_type"] == "code" and one["execution_count"]] == []


@pytest.mark.slow
def test_every_cell_runs_and_what_is_trained_finds_something(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, str(NOTEBOOK)], cwd=tmp_path, capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ciou, squared, own = map(float, done.stdout.rsplit("done:", 1)[1].split())
    assert ciou > 0.02
    assert own > 0.3
    assert 0 <= squared <= 1
    assert done.stdout.count(": Image") == 2
    assert list((tmp_path / "runs" / "compare").glob("*/results.md"))
