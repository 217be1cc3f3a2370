from pathlib import Path

import pytest
import torch

from detector.errors import UserError
from detector.training.checkpoint_files import WholeFiles


def test_a_write_that_breaks_off_leaves_the_file_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "last.ckpt"
    WholeFiles().save_checkpoint({"epoch": 1}, file)

    def full_disk(content: object, target: object) -> None:
        target.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(UserError, match=r"last\.ckpt cannot be written: No space left on device"):
        WholeFiles().save_checkpoint({"epoch": 2}, file)
    assert torch.load(file, weights_only=True) == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
