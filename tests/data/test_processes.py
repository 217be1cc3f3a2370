import os
import subprocess
import sys

from detector.data.processes import _ENVIRONMENT, PRELOADED


def test_the_server_imports_nothing_that_takes_seconds_and_has_one_thread() -> None:
    """torchvision alone brings `torch._dynamo` and SymPy along, which takes as long as torch itself."""
    code = (
        "import importlib, sys, threading\n"
        f"for name in {[name for name in PRELOADED if name != 'albumentations']}: importlib.import_module(name)\n"
        "slow = {'torchvision', 'torch._dynamo', 'sympy', 'lightning', 'matplotlib', 'scipy', 'hydra'}\n"
        "print(sorted(slow & sys.modules.keys()), threading.active_count())\n"
        "import os; print(len(os.listdir('/proc/self/task')) if os.path.isdir('/proc/self/task') else 1)\n"
    )
    output = subprocess.check_output([sys.executable, "-c", code], env={**os.environ, **_ENVIRONMENT}, text=True)

    assert output.split("\n")[:2] == ["[] 1", "1"]
