"""Damaged and hostile files: each is read or refused in one line, without memory or time that it does not deserve."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from darknet_files import FIVE, FIVE_SHAPES, write_weights

from detector.errors import OptionError, UserError
from detector.models.darknet import darknet, introduction

VALUES = ("1000000000", "-1", "0", "nan", "1e400", "9" * 30, "", "a", "\0", "1.5", "²", "10,10", "1_0", "9" * 5000, "[")


def mutated(text: str, draw: random.Random) -> str:
    lines = text.splitlines()
    at, value = draw.randrange(len(lines)), draw.choice(VALUES)
    key = lines[at].split("=")[0]
    lines[at] = draw.choice(
        (f"{key}={value}", "", lines[at] + value, f"[{value}]", lines[at][:3], f"{key}\x85={value}")
    )
    if draw.random() < 0.3:
        lines.insert(at, lines[draw.randrange(len(lines))])
    return "\n".join(lines)


@pytest.mark.parametrize("seed", range(100))
def test_a_mutated_cfg_is_built_or_refused_in_one_line(seed: int) -> None:
    draw = random.Random(seed)
    text = FIVE
    for _ in range(draw.randint(1, 3)):
        text = mutated(text, draw)
    try:
        network, head = darknet("some.cfg", 5, text)
        introduction("some.cfg", text, None, network, head)
    except UserError as error:
        said = str(error)
    else:
        size = max(64, network.largest_stride)
        with torch.no_grad():
            raw = head(network(torch.zeros(1, 3, size, size)))
        assert raw["box_logits"].shape[-1] == 4
        return
    assert "\n" not in said
    assert len(said) < 600


def test_mutated_weights_are_loaded_whole_and_finite_or_refused(tmp_path: Path) -> None:
    (tmp_path / "some.cfg").write_text(FIVE)
    write_weights(tmp_path / "good.weights", FIVE_SHAPES)
    content = (tmp_path / "good.weights").read_bytes()
    draw, said = random.Random(0), []
    for _ in range(60):
        at = draw.randrange(len(content) if draw.random() < 0.5 else 24)
        damaged = draw.choice(
            (content[:at], content[:at] + draw.randbytes(4) + content[at + 4 :], content * 2, b"", content[at:])
        )
        (tmp_path / "some.weights").write_bytes(damaged)
        try:
            network, head = darknet(str(tmp_path / "some.cfg"), 5, weights=str(tmp_path / "some.weights"))
        except OptionError as error:
            said.append(str(error))
            continue
        assert len(damaged) == len(content)
        assert all(value.isfinite().all() for part in (network, head) for value in part.state_dict().values())
    assert said
    assert all("\n" not in one for one in said)


@pytest.mark.parametrize("key", ["cfg", "weights"])
def test_a_device_is_no_file(key: str, tmp_path: Path) -> None:
    (tmp_path / "some.cfg").write_text(FIVE)
    with pytest.raises(OptionError, match=rf"{key}=/dev/zero: no such file"):
        darknet("/dev/zero", 5) if key == "cfg" else darknet(str(tmp_path / "some.cfg"), 5, weights="/dev/zero")


def test_a_convolution_that_is_not_in_the_file_stays_new(tmp_path: Path) -> None:
    text = FIVE.replace("filters=8", "filters=8\ndontload=1")
    written = write_weights(tmp_path / "some.weights", FIVE_SHAPES[1:])
    network, head = darknet("some.cfg", 5, text, str(tmp_path / "some.weights"))
    assert (network.stages[2].convolution.weight.detach().numpy() == written[0]["weight"]).all()  # type: ignore[union-attr, operator]
    lines = introduction("some.cfg", text, str(tmp_path / "some.weights"), network, head)
    assert any("dontload=1" in line for line in lines)
