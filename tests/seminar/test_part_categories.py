from __future__ import annotations

from pathlib import Path

from seminar_experiments import fulfilled

from detector.seminar import necks


def test_every_member_said_to_be_here_is_built_and_necks_combine_stages(tmp_path: Path) -> None:
    found = fulfilled(necks.categories_and_necks, tmp_path)
    table = {row[2]: row[3] for row in found.tables[0].rows}
    assert table["SPP"] == "neck.spp=true"
    assert table["RetinaNet"] == "no"
