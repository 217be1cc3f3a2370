from __future__ import annotations

import pytest
from measured_fields import NETWORKS, of_timm

FAST = ("lcnet_050", "edgenext_xx_small")


@pytest.mark.parametrize("name", [pytest.param(one, marks=[pytest.mark.slow] * (one not in FAST)) for one in NETWORKS])
def test_fields_of_networks_of_timm_are_those_of_the_gradient_or_unknown(name: str) -> None:
    pytest.importorskip("timm")
    found = of_timm(name)
    assert found
    assert {one.verdict for one in found} == ({"unknown"} if name == "volo_d1_224" else {"equal"})
