"""The seminar's page in a real browser."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from browser import Opened, started
from torch import nn
from torch.nn import functional

from detector.arithmetic.convolution import Convolution, FullyConnected
from detector.arithmetic.gradients import convolution_gradients
from detector.arithmetic.patches import patches
from detector.arithmetic.receptive_field import pixel_intervals
from detector.arithmetic.volumes import cheaper_below
from detector.seminar import factorisation, run
from detector.seminar.answer import Answer, Condition, Panel, Series, Table
from detector.seminar.page.page import seminar_page

HOSTILE = "</script><img src=x onerror=window.broken=1><b>"


def experiment() -> Answer:
    """Every kind of panel, a number that is not finite, a condition that fails, and text that looks like HTML."""
    return Answer(
        "3d",
        f"what is shown {HOSTILE}",
        f"{HOSTILE} ∂L/∂x[p, q]",
        (
            Condition("holds everywhere", (1.0, 2.0), "<", 3.0),
            Condition(f"fails {HOSTILE}", 4, "=", 5),
            Condition("not finite", float("nan"), "<", 1.0),
        ),
        formula="Σ_i W[p − i] · ∂L/∂o[i]",
        experiment="nothing",
        tables=(Table("a table", ("name", "value"), (("one, two", 1.5), ('"three"', (1.0, 2.0)))),),
        panels=(
            Panel(
                "lines",
                "lines",
                (Series("first", (1.0, 100.0, float("inf")), (1.0, 2.0, 3.0)), Series(HOSTILE, (2.0, 3.0), (1.0, 2.0))),
                levels={"level": 10.0},
                log_y=True,
            ),
            Panel("bars", "bars", (Series("a", (1.0, float("nan"))), Series("b", (-1.0, 2.0))), ticks=("one", HOSTILE)),
            Panel("image", "image", values=((0.0, 0.5), (1.0, 0.25)), ticks=("u", "v"), rows=("p", "q")),
        ),
        sources=("a source",),
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    answers = [run.answer(question) for question in run.NUMERIC if question != "5e"]
    factorised = Answer("5e", "a pair", "", (Condition("one", 1, "=", 1),), numbers=run.numbers_of("5e"))
    path = tmp_path_factory.mktemp("page") / "seminar.html"
    path.write_text(seminar_page(sorted([*answers, factorised, experiment()], key=lambda one: one.question)))
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started() as browser:
        yield browser


class Answers(Opened):
    """The answers on the page."""

    def card(self, question: str) -> Any:
        return self.page.locator(f"#q{question}")

    def give(self, question: str, name: str, value: float) -> None:
        self.card(question).locator(f"[data-name={name}] input[type=number]").fill(str(value))

    def result(self, question: str) -> str:
        shown: str = self.card(question).locator(".live .result").inner_text()
        return shown.removeprefix("result").strip()


@pytest.fixture
def opened(request: pytest.FixtureRequest, browser: Any, file: Path) -> Iterator[Answers]:
    scheme = getattr(request, "param", "light")
    page = Answers(browser, file, scheme)
    yield page
    assert page.said == []
    assert page.asked == [file.as_uri()], "the page asks for nothing"
    page.page.context.close()


@pytest.fixture(scope="module")
def plain(browser: Any, file: Path) -> Answers:
    return Answers(browser, file)


# ---- the page's arithmetic ---------------------------------------------------------------------------------------


def matrix(draw: random.Random, rows: int, columns: int) -> list[list[float]]:
    return [[draw.randint(-8, 8) / 2 for _ in range(columns)] for _ in range(rows)]


LARGEST = {
    "height": 40,
    "width": 40,
    "frames": 12,
    "channels": 6,
    "features": 30,
    "filters": 12,
    "kernel": 7,
    "patch": 12,
}


def numbers_for(question: str, draw: random.Random) -> dict[str, Any]:
    own = run.numbers_of(question)
    found: dict[str, Any] = {
        name: draw.randint(0 if name == "padding" else 1, LARGEST.get(name, 4))
        for name in own
        if name not in ("x", "w", "output_gradient")
    }
    if "x" in own:
        found["x"] = matrix(draw, draw.randint(1, 6), draw.randint(1, 6))
        output = (len(found["x"]), len(found["x"][0]))
        if "w" in own:
            found["w"] = matrix(draw, draw.randint(1, 3), draw.randint(1, 3))
            output = (output[0] - len(found["w"]) + 1, output[1] - len(found["w"][0]) + 1)
        if "output_gradient" in own:
            found["output_gradient"] = matrix(draw, *output) if min(output) > 0 and draw.random() < 0.8 else None
    return found


def by_python(question: str, numbers: dict[str, Any]) -> Any:
    """The result as JSON has it; None where the numbers cannot be."""
    if question == "5e":  # the answer itself runs the layers, for the time that they take
        whole = Convolution(numbers["channels"], numbers["filters"], (3, 3, 3), padding=1, bias=False)
        return list(factorisation.cost(whole, numbers["between"]))
    try:
        answer = run.answer(question, **{name: value for name, value in numbers.items() if value is not None})
    except (ValueError, RuntimeError):  # torch's own words for a patch larger than the image
        return None
    assert answer.right
    return json.loads(json.dumps(answer.result))


def test_results_equal_the_programs_over_random_settings(plain: Answers) -> None:
    draw = random.Random(0)
    settings: list[tuple[str, dict[str, Any]]] = [
        (question, numbers_for(question, draw)) for question in run.NUMERIC for _ in range(20)
    ]
    found = plain.page.evaluate(
        "(settings) => settings.map(([question, numbers]) => "
        "attempt(question, {...NUMERIC[question].also, ...numbers}).result ?? null)",
        settings,
    )
    wrong = [
        (question, numbers, result, expected)
        for (question, numbers), result in zip(settings, found, strict=True)
        if not close(result, expected := by_python(question, numbers))
    ]
    assert wrong == []
    assert len(settings) > 300
    assert sum(one is not None for one in found) > 250, "nearly all settings can be"


def close(found: Any, expected: Any) -> bool:
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    if isinstance(found, int | float) and isinstance(expected, int | float):
        return abs(found - expected) < 1e-9
    return found is expected is None


def test_every_numeric_question_has_its_numbers_and_no_other(plain: Answers) -> None:
    assert plain.page.evaluate("Object.keys(NUMERIC)") == list(run.NUMERIC)
    for question in run.NUMERIC:
        also = plain.page.evaluate("(question) => Object.keys(NUMERIC[question].also ?? {})", question)
        assert not set(also) & set(run.numbers_of(question))


def test_layers_equal_the_programs_over_random_settings(plain: Answers) -> None:
    draw = random.Random(1)
    settings: list[Any] = []
    expected: list[Any] = []
    for _ in range(200):
        axes, groups = draw.randint(1, 3), draw.choice([1, 1, 2, 3])
        numbers: dict[str, Any] = {
            name: [draw.randint(low, high) for _ in range(axes)]
            for name, low, high in (("kernel", 1, 5), ("stride", 1, 3), ("padding", 0, 3), ("dilation", 1, 3))
        }
        size: list[int] = [draw.randint(4, 30) for _ in range(axes)]
        channels, filters, bias = groups * draw.randint(1, 4), groups * draw.randint(1, 4), draw.random() < 0.5
        layer = Convolution(channels, filters, tuple(numbers.pop("kernel")), **numbers, groups=groups, bias=bias)
        settings.append([channels, filters, layer.kernel, {**numbers, "groups": groups, "bias": bias}, size])
        try:
            counted: list[Any] = [list(layer.output_size(size)), layer.multiply_accumulates(size)]
        except ValueError:
            counted = []
        expected.append([list(layer.weight_shape), layer.parameters, *counted])
    found = plain.page.evaluate(
        """(settings) => settings.map(([channels, filters, kernel, options, size]) => {
          const layer = convolutionLayer(channels, filters, kernel, options);
          const counted = [layer.weightShape, layer.parameters];
          try { counted.push(layer.outputSize(size), layer.multiplyAccumulates(size)); } catch { }
          return counted;
        })""",
        settings,
    )
    assert found == expected
    assert 120 < sum(len(one) == 4 for one in expected) < 200, "settings that can be and some that cannot"


def test_fully_connected_layers_and_patches_equal_the_programs(plain: Answers) -> None:
    draw = random.Random(2)
    settings = [[draw.randint(1, 30), draw.randint(1, 30), draw.randint(1, 8)] for _ in range(100)]
    possible_ones = [one for one in settings if one[2] <= min(one[:2])]
    found = plain.page.evaluate(
        "(settings) => settings.map(([height, width, patch]) => "
        "[product(patchGrid(height, width, patch)), fullyConnected(height, width).parameters])",
        possible_ones,
    )
    assert found == [
        [
            patches(torch.zeros(1, 1, height, width), (patch, patch), stride=patch).shape[1],
            FullyConnected(height, width).parameters,
        ]
        for height, width, patch in possible_ones
    ]


def test_pairs_of_convolutions_are_cheaper_below_the_same_bounds(plain: Answers) -> None:
    draw = random.Random(3)
    settings: list[list[Any]] = [
        [draw.randint(1, 64), draw.randint(1, 64), [2 * draw.randint(1, 8), 14, 14], draw.choice([1, 2])]
        for _ in range(60)
    ]
    found = plain.page.evaluate(
        """(settings) => settings.map(([channels, filters, size, temporalStride]) => {
          const pair = factorised(channels, filters, 8, size, { temporalStride });
          return [pair.fewerBelow, pair.fasterBelow];
        })""",
        settings,
    )
    for (channels, filters, size, stride), bounds in zip(settings, found, strict=True):
        whole = Convolution(channels, filters, (3, 3, 3), (stride, 1, 1), 1)
        assert bounds == pytest.approx(cheaper_below(whole, size))


def test_convolutions_forwards_and_backwards_equal_autograd_and_the_programs(plain: Answers) -> None:
    draw = random.Random(4)
    settings: list[Any] = []
    expected: list[Any] = []
    while len(settings) < 200:
        x, w = (matrix(draw, draw.randint(1, 7), draw.randint(1, 7)) for _ in range(2))
        stride, padding = draw.randint(1, 3), draw.randint(0, min(len(w), len(w[0])) - 1)
        image, kernel = (torch.tensor([one], dtype=torch.float64) for one in (x, w))
        if any(n + 2 * padding < k for n, k in zip(image.shape[1:], kernel.shape[1:], strict=True)):
            continue
        image.requires_grad_()
        kernel.requires_grad_()
        output = functional.conv2d(image[None], kernel[None], stride=stride, padding=padding)[0]
        gradient = torch.tensor([matrix(draw, *output.shape[1:])], dtype=torch.float64)
        backward = torch.autograd.grad(output, (image, kernel), gradient)
        own = convolution_gradients(image.detach(), kernel.detach()[None], gradient, stride, padding)
        assert torch.equal(own.inputs, backward[0])
        settings.append([x, w, gradient[0].tolist(), stride, padding])
        expected.append([one[0].tolist() for one in (output, *backward)])
    found = plain.page.evaluate(
        """(settings) => settings.map(([x, w, g, stride, padding]) => [
          convolve(x, w, stride, padding), inputGradient(w, g, shapeOf(x), stride, padding),
          kernelGradient(x, g, shapeOf(w), stride, padding),
        ])""",
        settings,
    )
    assert close(found, expected)


def test_relu_and_its_gradient_equal_autograd(plain: Answers) -> None:
    draw = random.Random(5)
    for _ in range(20):
        x, g = matrix(draw, 4, 4), matrix(draw, 4, 4)
        leaf = torch.tensor(x, requires_grad=True)
        output = functional.relu(leaf)
        (gradient,) = torch.autograd.grad(output, leaf, torch.tensor(g))
        found = plain.page.evaluate("([x, g]) => [relu(x), elementwise(reluDerivative(x), g)]", [x, g])
        assert close(found, [output.tolist(), gradient.tolist()])


REST = {"stride": 1, "padding": 0, "dilation": 1}


def test_receptive_fields_equal_the_intervals_of_real_layers(plain: Answers) -> None:
    draw = random.Random(6)
    settings: list[Any] = []
    expected: list[Any] = []
    while len(settings) < 100:
        n = draw.randint(16, 64)
        chain = [
            {"kernel": draw.randint(1, 6), **{name: draw.randint(low, 3) for name, low in REST.items()}}
            for _ in range(draw.randint(1, 4))
        ]
        network = nn.Sequential(
            *(nn.Conv1d(1, 1, one["kernel"], one["stride"], one["padding"], one["dilation"]) for one in chain)
        )
        try:
            intervals = pixel_intervals(network, (1, 1, n))[""]
        except RuntimeError:  # a kernel is larger than what comes in
            continue
        ((first, last),) = intervals.axes.values()
        if intervals.whole:
            first, last = torch.zeros_like(first), torch.full_like(last, n - 1)
        settings.append([chain, n])
        expected.append(list(zip(first.tolist(), last.tolist(), strict=True)))
    found = plain.page.evaluate(
        """(settings) => settings.map(([chain, n]) => {
          const field = receptiveFields(chain, n).at(-1);
          return range(field.outputs).map((v) => ({
            seen: seenBy(chain, n, v)[0], from: field.start + v * field.stride,
            centre: field.centre + v * field.stride, size: field.size,
          }));
        })""",
        settings,
    )
    inside = 0
    for (_, n), outputs, intervals_of in zip(settings, found, expected, strict=True):
        assert len(outputs) == len(intervals_of)
        for one, (low, high) in zip(outputs, intervals_of, strict=True):
            if one["from"] >= 0 and one["from"] + one["size"] <= n:  # no border cuts it off
                inside += 1
                assert (one["seen"][0], one["seen"][-1]) == (low, high)
                assert (one["from"], one["from"] + one["size"] - 1) == (low, high)
                assert one["centre"] == (low + high) / 2
            elif one["seen"]:
                assert low <= one["seen"][0] <= one["seen"][-1] <= high
    assert inside > 300


def test_alexnets_field_lies_as_published(plain: Answers) -> None:
    """Araujo et al. 2019, table 1: AlexNet's field has 195 pixels, effective stride 32 and effective padding 64 + 2."""
    chain = "CHAINS['AlexNet up to its last pooling']"
    field = plain.page.evaluate(f"receptiveFields({chain}.layers, {chain}.n).at(-1)")
    assert (field["size"], field["stride"], field["start"], field["centre"] + 0.5) == (195, 32, -66, 31.5)
    assert field["outputs"] == 6


# ---- what is seen and pressed ------------------------------------------------------------------------------------


def test_a_number_changes_steps_result_and_claims_at_once(opened: Answers) -> None:
    assert opened.result("1h") == "[10, 10, 5]"
    opened.give("1h", "kernel", 7)
    assert opened.result("1h") == "[9, 9, 5]"
    assert "= 9" in opened.card("1h").locator(".live .steps").inner_text()
    opened.give("1h", "height", 3)
    assert "an input of 3 with padding 0 is smaller than the kernel" in opened.result("1h")
    opened.give("1h", "height", 1000000)
    assert opened.card("1h").locator("[aria-invalid=true]").count() == 1
    opened.card("1h").get_by_text("the first numbers again").click()
    assert opened.result("1h") == "[10, 10, 5]"
    slider = opened.card("1h").locator("[data-name=stride] input[type=range]")
    slider.focus()
    slider.press("ArrowLeft")
    assert opened.card("1h").locator("[data-name=stride] input[type=number]").input_value() == "2"
    assert opened.result("1h") == "[14, 14, 5]"


@pytest.mark.parametrize(
    ("question", "name", "values"),
    [
        ("1b", "patch", {10: True, 9: False, 20: True}),
        ("1d", "kernel", {10: True, 9: False}),
        ("1e", "padding", {0: False, 2: True, 3: False}),
        ("1g", "groups", {1: True, 5: False}),
        ("5a", "kernel", {3: True, 20: False}),
        ("5c", "frames", {16: True, 15: False}),
        ("5d", "temporal_stride", {1: True, 2: False}),
        ("5e", "between", {143: True, 144: False}),
    ],
)
def test_a_claim_breaks_where_it_should(plain: Answers, question: str, name: str, values: dict[int, bool]) -> None:
    for value, holds in values.items():
        plain.give(question, name, value)
        claim = plain.card(question).locator(".claim").first
        assert claim.locator(".verdict").inner_text() == ("✓ holds" if holds else "✗ fails")
        cell = claim.locator(f".cells i[title^='{name} = {value}:']")
        assert cell.get_attribute("class").split() == ["holds" if holds else "fails", "now"]


def test_matrices_change_and_break_the_claim_of_the_unturned_kernel(opened: Answers) -> None:
    claims = opened.card("3b").locator(".claim .verdict")
    assert claims.all_inner_texts() == ["✓ holds", "✗ fails"]
    fields = opened.card("3b").locator("[data-name=w] input")
    for at, value in enumerate((1, 2, 2, 1)):  # the same when turned by 180°
        fields.nth(at).fill(str(value))
    assert claims.all_inner_texts() == ["✓ holds", "✓ holds"]
    opened.card("3b").locator("[data-name=x]").get_by_text("+ column").click()
    assert opened.card("3b").locator("[data-name=output_gradient] input").count() == 3


def test_the_kernel_moves_by_keys_and_by_itself(opened: Answers) -> None:
    lab = opened.page.locator("#convolution")
    stage = lab.locator(".stage")
    stage.focus()
    assert "1.25" in lab.locator(".sum").inner_text()
    assert stage.locator("td.now").all_inner_texts() == ["1.25"]
    opened.page.keyboard.press("ArrowRight")
    assert lab.locator(".counter").inner_text() == "step 2 of 2"
    assert stage.locator("td.now").all_inner_texts() == ["4"]
    opened.page.keyboard.press("Home")
    assert lab.locator(".counter").inner_text() == "step 1 of 2"
    lab.get_by_text("backward: ∂L/∂x").click()
    stage.focus()
    opened.page.keyboard.press("End")
    assert lab.locator(".counter").inner_text() == "step 6 of 6"
    result = stage.locator("table").last.locator("td")
    assert result.all_inner_texts() == ["0", "1", "1", "1", "1.5", "0.5"]
    lab.get_by_text("backward: ∂L/∂W").click()
    stage.focus()
    opened.page.keyboard.press("End")
    assert lab.locator(".counter").inner_text() == "step 4 of 4"
    assert stage.locator("table").last.locator("td").all_inner_texts() == ["−1", "2", "2.5", "1.5"]
    opened.page.evaluate("document.querySelector('#convolution .stage').focus()")
    opened.page.keyboard.press(" ")
    assert lab.get_by_label("pause").count() == 1
    lab.get_by_text("step 2 of 4").wait_for()
    opened.page.keyboard.press(" ")
    assert lab.get_by_label("pause").count() == 0


def test_a_questions_matrices_go_to_the_moving_kernel(opened: Answers) -> None:
    opened.card("3b").locator("[data-name=output_gradient] input").nth(1).fill("2")
    opened.card("3b").get_by_text("animate these").click()
    opened.page.keyboard.press("End")
    shown = opened.page.locator("#convolution .stage table").last.locator("td").all_inner_texts()
    assert shown == ["0", "1", "2", "1", "2.5", "1"]


def test_layers_of_the_chain_can_be_changed_added_and_removed(opened: Answers) -> None:
    lab = opened.page.locator("#field")
    rows = lab.locator("table tbody tr")
    assert rows.last.locator("td").all_inner_texts()[:6] == ["3", "12", "9", "2", "−4", "0"]
    lab.get_by_text("+ layer").click()
    assert rows.last.locator("td").all_inner_texts()[:6] == ["4", "12", "13", "2", "−6", "0"]
    lab.get_by_label("layer 4, padding").fill("0")
    assert rows.last.locator("td").all_inner_texts()[4:] == ["−4", "2", "off by 2 px"]
    assert "Not aligned" in lab.locator(".sum").inner_text()
    lab.get_by_label("remove layer 4").click()
    assert rows.count() == 3
    seen = lab.locator("rect.seen").count()
    lab.get_by_label("layer 1, dilation").fill("2")
    assert lab.locator("rect.seen").count() > seen
    lab.get_by_label("layer 1, kernel").fill("15")
    lab.get_by_label("layer 1, dilation").fill("8")
    assert "cannot be" in lab.locator(".sum").inner_text()


def test_keys_go_from_question_to_question_but_not_out_of_a_number(opened: Answers) -> None:
    focused = "document.activeElement.id"
    opened.page.keyboard.press("n")
    assert opened.page.evaluate(focused) == "q1a"
    opened.page.keyboard.press("n")
    opened.page.keyboard.press("n")
    opened.page.keyboard.press("p")
    assert opened.page.evaluate(focused) == "q1b"
    opened.card("1b").locator("input[type=number]").first.focus()
    opened.page.keyboard.press("n")
    assert opened.page.evaluate("document.activeElement.type") == "number"


def test_conditions_say_in_words_whether_they_hold(opened: Answers) -> None:
    verdicts = opened.card("3d").locator(".conditions .verdict")
    assert verdicts.all_inner_texts() == ["✓ holds", "✗ fails", "✗ fails"]
    assert opened.card("3d").locator("h3 .verdict").inner_text() == "✗ wrong"
    assert opened.page.locator("nav a.wrong").all_inner_texts() == ["3d ✗"]
    colours = [verdicts.nth(i).evaluate("(one) => getComputedStyle(one).color") for i in (0, 1)]
    assert colours[0] != colours[1]


def test_text_is_not_read_as_html(opened: Answers) -> None:
    assert opened.page.evaluate("window.broken ?? null") is None
    assert opened.page.locator("#answers img").count() == 0
    assert HOSTILE in opened.card("3d").locator("h3").inner_text()


def test_figures_show_their_numbers_and_give_them_as_csv(opened: Answers, tmp_path: Path) -> None:
    figures = opened.card("3d").locator("figure")
    assert figures.count() == 3
    assert figures.nth(0).locator("svg[role=img] path[stroke]").count() == 2
    assert figures.nth(1).locator("svg[role=img] rect").count() == 4
    assert figures.nth(2).locator("svg[role=img] rect").count() == 4
    assert "NaN" not in opened.card("3d").locator(".panels").inner_html()
    figures.nth(0).locator("summary").click()
    with opened.page.expect_download() as download:
        figures.nth(0).get_by_text("save as CSV").click()
    saved = tmp_path / "saved.csv"
    download.value.save_as(saved)
    quoted = HOSTILE.replace('"', '""')
    assert saved.read_text() == f"x,first,{quoted}\n1,1,2\n2,100,3\n3,,\n"
    opened.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened.card("3d").locator("details.table").first.get_by_text("copy as CSV").click()
    opened.card("3d").get_by_text("copied").wait_for()
    copied = opened.page.evaluate("navigator.clipboard.readText()")
    assert copied == 'name,value\n"one, two",1.5\n"""three""","[1, 2]"\n'


def test_formulas_are_typeset(opened: Answers) -> None:
    formula = opened.card("3b").locator(".derivation dd").first
    assert formula.locator("mfrac").count() == 2
    assert formula.locator("munder").count() == 2
    assert formula.locator("msub").count() == 3
    assert opened.card("3b").locator("h3 mtable").count() == 2
    assert opened.card("1e").locator(".derivation dd").first.locator("mfrac").count() == 1
    height = formula.locator("mfrac").first.evaluate("(one) => one.getBoundingClientRect().height")
    assert height > 20, "the fraction is set as one"


@pytest.mark.parametrize("opened", ["light", "dark"], indirect=True)
def test_dark_and_light_have_readable_colours(opened: Answers) -> None:
    dark = opened.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    read = "(one) => [getComputedStyle(document.body).backgroundColor, getComputedStyle(one).color].map("
    read += "(colour) => colour.match(/[0-9.]+/g).slice(0, 3).map(Number))"
    paper, ink = opened.card("1a").locator("p.answer").evaluate(read)
    assert (luminance(paper) < luminance(ink)) == dark
    for element in (".answer", ".verdict", ".experiment", ".hint", "summary"):
        paper, ink = opened.page.locator(element).first.evaluate(read)
        bright, deep = sorted((luminance(paper), luminance(ink)), reverse=True)
        assert (bright + 0.05) / (deep + 0.05) >= 4.5, element


def luminance(colour: list[float]) -> float:
    """WCAG 2.1, relative luminance of sRGB."""
    linear = [c / 12.92 if (c := one / 255) <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for one in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_paper_has_no_controls_and_shows_what_is_folded(opened: Answers) -> None:
    controls = opened.page.locator("button, input, nav")
    folded = opened.page.locator("details:not([open])").count()
    assert controls.first.is_visible()
    assert folded > 0
    opened.page.emulate_media(media="print")
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert controls.evaluate_all("(all) => all.filter((one) => one.checkVisibility()).length") == 0
    assert opened.page.locator("details:not([open])").count() == 0
    assert opened.card("1a").locator(".conditions").is_visible()
    opened.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert opened.page.locator("details:not([open])").count() == folded


def test_a_phone_shows_it_without_scrolling_sideways(file: Path, browser: Any) -> None:
    opened = Answers(browser, file, width=400)
    assert opened.overflow() <= 0
    assert opened.said == []
    opened.page.context.close()
