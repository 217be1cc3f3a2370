from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import Opened, started
from conftest import Configure
from html_elements import data_of, policy, script_hash

from detector import config
from detector.data.read import read_index
from detector.errors import UserError
from detector.evaluation.results import flatten
from detector.training.run_page import callback
from detector.training.run_page.callback import RunPage
from detector.training.run_page.content import MOST_POINTS, Progress, run_page
from detector.training.run_page.differences import differences
from detector.training.run_page.images import PicturedImages
from detector.training.train import train

HOSTILE = "</script><script>document.title='run'</script>"
REFRESH = 'http-equiv="refresh"'


def page(state: str | None = None, name: str = "loss") -> str:
    x = np.linspace(0.01, 3, 1000)
    curves = {
        f"train/{name}": (x, 5 * np.exp(-x)),
        "train/box": (x, 2 * np.exp(-x)),
        "val/AP": (np.array([1.0, 2, 3]), np.array([0.1, 0.3, 0.2])),
        "val/AP50": (np.array([1.0, 2, 3]), np.array([0.2, 0.5, 0.4])),
        "lr-AdamW": (x, 0.004 * np.cos(x / 2)),
    }
    best = {"AP": 0.3, "AP50": 0.5, "epoch": 2}
    progress = Progress("tiny/today", 3, 10, state, 125.0, "now", ("a detector",))
    image: dict[str, Any] = {"width": 64, "height": 48, "source": None, "file": None, "title": HOSTILE, "lines": []}
    image["marks"] = [{"box": [5, 5, 30, 30], "kind": "right", "text": "cell 0.90"}]
    changed = differences(config.Train(data=config.Shapes(scene_size=96), image_size=96))
    return run_page(progress, {"AP": 0.2, "AP50": 0.4}, best, curves, [image], 2, changed)


def test_the_page_reloads_itself_while_the_run_goes_on_and_no_longer() -> None:
    assert REFRESH in page()
    assert "2:05" in page()
    for state in ("finished", "stopped"):
        assert REFRESH not in page(state)
        assert "2:05" not in page(state)


def test_only_the_pages_own_script_runs_whatever_names_there_are() -> None:
    made = page("finished", HOSTILE)
    assert HOSTILE not in made
    assert f"script-src '{script_hash(made)}'" in policy(made)


def test_long_curves_are_thinned_and_losses_ap_and_rates_have_panels_of_their_own() -> None:
    panels = {panel["title"]: panel["series"] for panel in data_of(page())["panels"]}
    assert {title: [one["name"] for one in series] for title, series in panels.items()} == {
        "training loss": ["loss", "box"],
        "AP on val": ["AP", "AP50"],
        "learning rate": ["learning rate"],
    }
    loss = panels["training loss"][0]
    assert len(loss["x"]) == len(loss["y"]) == MOST_POINTS
    assert np.interp(1.5, loss["x"], loss["y"]) == pytest.approx(5 * np.exp(-1.5), rel=0.01)
    assert panels["AP on val"][0]["y"] == [0.1, 0.3, 0.2]


def test_differences_are_what_was_set_and_nothing_else() -> None:
    settings = config.Train(
        data=config.Coco(root="/data"),
        augment=config.Augment(name="light", mosaic=0.5),
        backbone=config.ResNetOptions(depth=18),
        trainer=config.Trainer(epochs=7),
    )
    found = {one.key: (one.value, one.default) for one in differences(settings)}
    assert {key: value for key, value in found.items() if "." in key} == {
        "data.root": ("/data", "null"),
        "augment.mosaic": ("0.5", "0.0"),
        "backbone.depth": ("18", str(config.ResNetOptions.depth)),
        "trainer.epochs": ("7", "100"),
    }


def test_detections_are_marked_as_they_fit_the_objects() -> None:
    index = read_index(config.Shapes(val_images=4, scene_size=96), "val")
    pictured = PicturedImages(index, 2)
    results = []
    for i in range(len(index)):
        target = index.target(i)
        for n, ((x1, y1, x2, y2), label) in enumerate(zip(target.boxes.tolist(), target.labels.tolist(), strict=True)):
            results.append(
                {
                    "image_id": index.image_id(i),
                    "category_id": index.category_ids[label],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": 0.2 if n == 0 else 0.9,  # the first of each image is found with too low a score
                }
            )
        results.append(
            {"image_id": index.image_id(i), "category_id": index.category_ids[0], "bbox": [0, 0, 2, 2], "score": 0.8}
        )
    pictures = pictured.pictures(flatten(index, results))
    assert len(pictures) == 2
    for i, picture in enumerate(pictures):
        objects = len(index.target(i).labels)
        kinds = [mark["kind"] for mark in picture["marks"]]
        assert {kind: kinds.count(kind) for kind in ("right", "wrong", "missed")} == {
            "right": objects - 1,
            "wrong": 1,
            "missed": 1,
        }
        first = next(mark for mark in picture["marks"] if mark["kind"] == "missed")
        assert first["box"] == pytest.approx(index.target(i).boxes[0].tolist(), abs=0.06)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pages of a run, in the order in which they are written."""
    pages: list[str] = []

    def write(path: Path, text: str) -> None:
        pages.append(text)
        path.write_text(text, encoding="utf-8")

    monkeypatch.setattr(callback, "write_text", write)
    return pages


def states() -> tuple[object, ...]:
    """The states of everything that random numbers are drawn from."""
    numpy_state: Any = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), random.getstate(), numpy_state[1].tolist()


def undisturbed(hook: Callable[..., Any]) -> Callable[..., Any]:
    """The hook, which fails if a state of random numbers is another one afterwards."""

    def watched(*arguments: Any) -> None:
        before = states()
        hook(*arguments)
        assert states() == before

    return watched


def test_a_run_writes_it_after_each_evaluation_and_a_card_at_the_end(
    tiny: Configure, written: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for hook in ("on_train_start", "on_validation_end", "on_train_epoch_end", "on_fit_end"):
        monkeypatch.setattr(RunPage, hook, undisturbed(getattr(RunPage, hook)))
    folder = train(tiny())
    assert [REFRESH in one for one in written] == [True, True, False]  # after each epoch, and at the end
    last = data_of(written[-1])
    ap = next(panel for panel in last["panels"] if panel["title"] == "AP on val")["series"][0]
    assert ap["x"] == [1, 2]
    assert len(last["images"]) == 6
    assert (folder / "run.html").read_text(encoding="utf-8") == written[-1]
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "12 training images" in card
    assert "6 validation images" in card
    assert "run.html" in (said := capsys.readouterr().out)
    assert "MODEL_CARD.md" in said


@pytest.mark.slow
def test_a_run_that_fails_no_longer_reloads_its_page(
    tiny: Configure, written: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: RunPage, trainer: Any, module: Any) -> None:
        written_page(self, trainer, module)
        if trainer.current_epoch == 1:
            raise UserError("no more")

    written_page = RunPage.on_train_epoch_end
    monkeypatch.setattr(RunPage, "on_train_epoch_end", fails)
    with pytest.raises(UserError, match="no more"):
        train(tiny())
    assert [REFRESH in one for one in written] == [True, True, False]
    assert "stopped" in written[-1]


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "width"), [("light", 1100), ("dark", 390)])
def test_in_a_browser_it_draws_its_panels_and_says_nothing(tmp_path: Path, scheme: str, width: int) -> None:
    file = tmp_path / "run.html"
    file.write_text(page("finished"), encoding="utf-8")
    with started() as browser:
        opened = Opened(browser, file, scheme, width)
        assert opened.page.locator("#curves .chart").count() == 3
        assert opened.page.locator("#curves .chart").first.locator("path.line").count() == 4  # and twice in the legend
        assert opened.page.locator("#configuration tbody tr").count() == 2 + len(_whole_parts())
        opened.page.locator("#images .cell").click()
        assert HOSTILE in opened.page.locator("dialog[open]").inner_text()
        assert opened.overflow() <= 0
        assert opened.is_silent()


def _whole_parts() -> list[str]:
    """Keys of parts that a bare `config.Train` lacks and `page` does not give."""
    return [one.key for one in differences(replace(config.Train(), data=config.Shapes()))]
