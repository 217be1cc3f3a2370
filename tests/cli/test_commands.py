import subprocess
import sys


def test_what_lightning_needs_of_scipy_is_not_imported_and_scipy_is_whole_afterwards() -> None:
    """A command's first second: torchmetrics imports 500 modules of SciPy for one old name."""
    code = (
        "import sys\n"
        "from detector.cli.commands import imported\n"
        "imported('lightning.pytorch:Trainer')\n"
        "print('torchmetrics' in sys.modules, sum(name.startswith('scipy.') for name in sys.modules) < 100)\n"
        "import scipy.signal\n"
        "print(scipy.signal.convolve([1, 2], [1, 1]).tolist())\n"
    )
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert output.splitlines() == ["True True", "[1, 3, 2]"]
