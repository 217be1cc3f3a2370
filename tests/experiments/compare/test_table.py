from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from detector import config
from detector.evaluation.difference import Difference
from detector.experiments.compare.cost import Cost
from detector.experiments.compare.groups import Group
from detector.experiments.compare.runs import Run
from detector.experiments.compare.table import Measured, as_csv, detail_cells, difference_cells, results_cells
from detector.visualization.text_table import markdown, terminal

Configure = Callable[..., config.Train]


@pytest.fixture
def rows(tiny: Configure) -> list[Measured]:
    def measured(label: str, aps: list[float], latency: float | None, differences: dict[str, Difference]) -> Measured:
        runs = [
            Run(
                Path(f"{label}-{seed}"),
                tiny(seed=seed),
                {"AP": ap, "AP50": 0.8, "AP75": None, "APs": None, "APm": 0.2, "APl": 0.3}
                | {"parameters": 2_500_000, "train_seconds": 90.0},
            )
            for seed, ap in enumerate(aps)
        ]
        return Measured(Group(label, tuple(runs)), tuple(Cost(1.5, latency) for _ in aps), differences)

    found = Difference(-0.2, (-0.25, -0.1), (-0.5, 0.1), 0.2, 0.4)
    return [measured("loss=ciou", [0.5, 0.6, 0.7], None, {}), measured("a|b", [0.4], None, {"AP": found})]


def test_mean_and_deviation_are_over_the_seeds(rows: list[Measured]) -> None:
    titles, several, single = results_cells(rows)
    assert titles == ["what differs", "seeds", "AP", "AP50", "APm", "APl", "M parameters", "GFLOPs", "training min"]
    assert several == ["loss=ciou", "0, 1, 2", "0.600 ± 0.100", "0.800", "0.200", "0.300", "2.50", "1.50", "1.5"]
    assert single == ["a|b", "0", "0.400", "0.800", "0.200", "0.300", "2.50", "1.50", "1.5"]


def test_a_column_that_only_some_groups_have_shows_a_dash(rows: list[Measured]) -> None:
    timed = Measured(rows[1].group, (Cost(1.5, 12.34),))
    titles, first, second = results_cells([rows[0], timed])
    place = titles.index("latency ms")
    assert (first[place], second[place]) == ("–", "12.3")


def test_stages_come_in_their_order_and_those_that_no_group_has_are_left_out(rows: list[Measured]) -> None:
    first = Cost(1.5, 12.0, {"heads": 4.04, "features": 6.0, "other": 2.0}, None, 55.4)
    second = Cost(1.5, 500.0, {"proposals": 480.0, "features": 6.0, "heads": 12.0, "other": 2.0}, 300.0, 120.0)
    cells = detail_cells([Measured(rows[0].group, (first, first, first)), Measured(rows[1].group, (second,))])
    assert cells == [
        ["what differs", "proposals ms", "features ms", "heads ms", "other ms", "regions", "peak MiB"],
        ["loss=ciou", "–", "6.0", "4.0", "2.0", "–", "55"],
        ["a|b", "480.0", "6.0", "12.0", "2.0", "300", "120"],
    ]
    assert detail_cells(rows) == []


@pytest.mark.parametrize(
    ("ap", "corrected", "verdict"),
    [(0.1, 0.05, "better"), (-0.1, 0.01, "worse"), (0.1, 0.051, "undecided"), (0.1, None, "undecided")],
)
def test_the_verdict_goes_by_the_corrected_p(
    rows: list[Measured], ap: float, corrected: float | None, verdict: str
) -> None:
    interval = None if corrected is None else (ap - 0.09, ap + 0.09)
    found = Difference(ap, interval, None, corrected and 0.0004, corrected)
    others = [Measured(rows[1].group, rows[1].costs, {"AP": found, "AP50": found}) for _ in range(2)]
    titles, only, _ = difference_cells([rows[0], *others], rows[0].group)
    assert titles[0] == "AP minus AP of loss=ciou"
    assert (only[0], only[1], only[6]) == ("a|b", f"{ap:+.3f}", verdict)
    assert only[4] == ("–" if corrected is None else "< 0.001")
    # of two groups there is a line for each measure
    titles, *lines = difference_cells([rows[0], others[0]], rows[0].group)
    assert titles == [
        "a|b minus loss=ciou",
        "difference",
        "95% over images",
        "and over seeds",
        "p",
        "corrected p",
        "verdict",
    ]
    assert [line[0] for line in lines] == ["AP", "AP50"]


def test_markdown_has_as_many_cells_in_every_line_and_bars_are_escaped(rows: list[Measured]) -> None:
    lines = markdown(results_cells(rows)).splitlines()
    assert {line.replace("\\|", "").count("|") for line in lines} == {10}
    assert lines[3].startswith("| a\\|b | 0 |")


def test_the_terminal_table_is_aligned(rows: list[Measured]) -> None:
    lines = terminal(results_cells(rows)).splitlines()
    assert len({len(line) for line in lines}) == 1


def test_csv_has_all_digits_and_the_interval(rows: list[Measured]) -> None:
    timed = Measured(rows[1].group, (Cost(1.5, None, {"heads": 0.123456}, 7.25),), rows[1].differences)
    first, second = csv.DictReader(io.StringIO(as_csv([rows[0], timed])))
    assert (second["heads_ms"], second["regions"], second["memory_mib"], first["heads_ms"]) == (
        "0.123456",
        "7.25",
        "",
        "",
    )
    assert float(first["AP"]) == pytest.approx(0.6, abs=1e-12)
    assert float(first["AP_sd"]) == pytest.approx(0.1, abs=1e-12)
    assert (first["AP_difference"], first["APs"], second["AP_sd"]) == ("", "", "")
    assert (second["AP_difference"], second["over_images_low"], second["over_images_and_seeds_high"]) == (
        "-0.2", "-0.25", "0.1",
    )  # fmt: skip
    assert (second["p"], second["corrected_p"], first["p"], second["AP50_difference"]) == ("0.2", "0.4", "", "")
    assert first["runs"] == "loss=ciou-0 loss=ciou-1 loss=ciou-2"


@pytest.mark.parametrize("label", ["loss=ciou", "trainer.epochs=40 optim.schedule=one_cycle augment=mosaic"])
@pytest.mark.parametrize("columns", [60, 80])
def test_a_wide_table_continues_below_and_loses_nothing(label: str, columns: int) -> None:
    cells = [["what differs", *(f"column {i}" for i in range(12))], [label, *(f"{i}.125" for i in range(12))]]
    text = terminal(cells, columns)
    assert max(map(len, text.splitlines())) <= columns
    for cell in (*cells[0][1:], *cells[1][1:]):
        assert len(re.findall(rf"(?<!\d){re.escape(cell)}(?!\d)", text)) == 1
    assert text.count(label) == text.count("what differs") > 1
    for block in text.split("\n\n"):  # a number stands below its title
        titles, numbers = (line for line in block.splitlines() if "column" in line or ".125" in line)
        ends = [found.end() for found in re.finditer(r"column \d+", titles)]
        assert ends == [found.end() for found in re.finditer(r"\d+\.125", numbers)]
    assert terminal(cells, 1000) == terminal(cells)
