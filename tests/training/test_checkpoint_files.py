from pathlib import Path

import pytest
import torch
from full_disk import largest_file

from detector.errors import UserError
from detector.training.checkpoint_files import WholeFiles


def test_a_write_that_breaks_off_leaves_the_file_before_it(tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    WholeFiles().save_checkpoint({"epoch": 1}, file)
    weights = {f"layer{i}": torch.zeros(100_000) for i in range(10)}
    with largest_file(2_000_000), pytest.raises(UserError, match=r"last\.ckpt cannot be written: File too large"):
        WholeFiles().save_checkpoint(weights, file)
    assert torch.load(file, weights_only=True) == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
