from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
import torch
from composition import composed
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from detector import config
from detector.backbones.efficientnet import VARIANTS
from detector.build_detector import build_detector
from detector.cli.user_errors import one_line
from detector.errors import UserError
from detector.experiments.benchmark.run import PHASES
from detector.layers import ACTIVATIONS, INITIALISATIONS, NORMS
from detector.losses.box import BoxLossKind
from detector.losses.classification import ClassLossKind
from detector.models.regions.losses import RegionBoxLossKind
from detector.necks.extras import ATTENTIONS
from detector.nms import KINDS
from detector.option_check import hints, violations
from detector.options import AllOr, OneOf, Range
from detector.proposals.selective_search import STRATEGIES
from detector.training.health.diagnose import PROBLEMS

PARTS = [cls for classes in config.GROUPS.values() for cls in classes]
COMMANDS = [
    config.Train, config.Evaluate, config.Predict, config.ImportDarknet, config.Diagnose, config.Seminar, config.CheckData,
    config.Anchors, config.Proposals, config.BrowseData, config.Benchmark, config.InspectModel, config.FindLR, config.Compare,
]  # fmt: skip
POOL: list[Any] = [
    math.nan, math.inf, -math.inf, -1, 0, 1, 0.5, -0.5, 1e308, -1e308, 5e-324, 2**31, 2**63, -(2**63) - 1, 10**400, 10**6000,
    "", "abc", "\0", "a\nb", "\ud800", "../../x", "/x", "a" * 5000, "???x", "${oc.env:HOME}", True, False, None,
    [], {}, [1], ["a"], [math.nan], [[[]]], {"a": 1}, (1,), b"x", object(), torch.zeros(2), [[1, 2]] * 3,
]  # fmt: skip


def made(cls: type) -> Any:
    """An object with every value that must be given."""
    given: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        if field.default == config.MISSING:
            hint = _bare(hints(cls)[field.name])
            given[field.name] = {str: "name", config.Data: config.Shapes()}.get(hint) or (
                ["runs"] if get_origin(hint) is list else made(_chosen(hint))
            )
    return cls(**given)


def _chosen(hint: Any) -> type:
    return {
        config.ModelOptions: config.SingleShotOptions,
        config.OptimizerOptions: config.AdamWOptions,
        config.Logger: config.Csv,
    }.get(hint, hint)


def _bare(hint: Any) -> Any:
    """The type without its conditions and without None."""
    if get_origin(hint) is Annotated:
        return _bare(hint.__origin__)
    if get_origin(hint) in (Union, types.UnionType):
        return _bare(next(option for option in get_args(hint) if option is not type(None)))
    return hint


def conditions_of(hint: Any) -> Iterator[tuple[Any, list[Any]]]:
    """(type, its conditions) of a field and of what its lists hold."""
    conditions: list[Any] = []
    while get_origin(hint) in (Annotated, Union, types.UnionType):
        if get_origin(hint) is Annotated:
            conditions += hint.__metadata__
            hint = hint.__origin__
        else:
            hint = next(option for option in get_args(hint) if option is not type(None))
    yield hint, conditions
    if get_origin(hint) is list:
        yield from conditions_of(get_args(hint)[0])


def sane(value: Any) -> bool:
    """Whether every number is finite, and every text one that a file can hold."""
    if isinstance(value, list | tuple):
        return all(map(sane, value))
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int):
        return abs(value) < 2**63
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str) and value.isprintable() and 0 < len(value.encode()) <= 4096


@pytest.mark.parametrize("cls", [*PARTS, *COMMANDS], ids=lambda cls: cls.__name__)
def test_every_default_can_be(cls: type) -> None:
    assert list(violations(made(cls))) == []


@pytest.mark.parametrize("cls", [*PARTS, *COMMANDS], ids=lambda cls: cls.__name__)
def test_every_number_has_its_range_beside_it(cls: type) -> None:
    for name, hint in hints(cls).items():
        for kind, conditions in conditions_of(hint):
            if kind in (int, float):
                assert any(isinstance(condition, Range | AllOr | OneOf) for condition in conditions), name


@pytest.mark.parametrize("cls", [*PARTS, *COMMANDS], ids=lambda cls: cls.__name__)
def test_any_value_of_any_key_can_be_or_is_refused_in_one_line_that_names_the_key(cls: type) -> None:
    right = made(cls)
    refused = 0
    for field in dataclasses.fields(cls):
        for value in POOL:
            try:
                config.check(dataclasses.replace(right, **{field.name: value}), "file: ")
            except UserError as error:
                said = str(error)
                refused += 1
                assert said.startswith("file: ")
                assert field.name in said
                assert said.isprintable()
                assert len(said) < 1500
            else:
                lines = field.name == "cfg_text" and isinstance(value, str)
                assert sane(value) or lines or hints(cls)[field.name] == list[Any] or dataclasses.is_dataclass(value)
    assert refused > 5 * len(dataclasses.fields(cls))


def test_all_mistakes_are_named_at_once() -> None:
    trainer, backbone = config.Trainer(epochs=-1, ema=math.nan, devices=-5), config.CSPDarknetOptions(width=0.0)
    with pytest.raises(UserError) as caught:
        config.check(dataclasses.replace(made(config.Train), trainer=trainer, backbone=backbone))
    assert str(caught.value) == (
        "4 values cannot be: backbone.width=0.0: a number from 0.01 to 8; "
        "trainer.epochs=-1: a whole number from 1 to 1,000,000; "
        "trainer.devices=-5: a whole number from 1 to 1,024, or -1 for all; "
        "trainer.ema=nan: a number from 0 up to, not including, 1"
    )


@pytest.mark.parametrize(
    ("part", "key"),
    [
        (
            config.SGDOptions(schedule="one_cycle", momentum=0.5, lowest_momentum=0.9),
            "lowest_momentum=0.9: at most momentum=0.5",
        ),
        (config.SGDOptions(momentum=0.5, lowest_momentum=0.9), None),
        (config.FasterRCNNOptions(negative_iou=0.6), "negative_iou=0.6: at most positive_iou=0.5"),
        (config.FasterRCNNOptions(rpn_negative_iou=0.6), "rpn_negative_iou=0.6: at most rpn_positive_iou=0.5"),
        (config.FastRCNNOptions(negative_iou=0.6), "negative_iou=0.6"),
        (config.RCNNOptions(negative_iou=0.6), "negative_iou=0.6"),
    ],
)
def test_values_that_contradict_each_other_are_refused(part: Any, key: str | None) -> None:
    found = list(violations(part))
    assert len(found) == (key is not None)
    assert key is None or found[0].startswith(key)


@pytest.mark.parametrize(
    ("cls", "key", "choices"),
    [
        (config.NeckOptions, "attention", ATTENTIONS),
        (config.ResNetOptions, "activation", ACTIVATIONS),
        (config.PANOptions, "norm", NORMS),
        (config.ResNetOptions, "initialisation", INITIALISATIONS),
        (config.EfficientNetOptions, "variant", VARIANTS),
        (config.CriterionOptions, "box", get_args(BoxLossKind)),
        (config.CriterionOptions, "classification", get_args(ClassLossKind)),
        (config.FasterRCNNOptions, "box_loss", get_args(RegionBoxLossKind)),
        (config.RCNNOptions, "box_loss", get_args(RegionBoxLossKind)),
        (config.SingleShotOptions, "suppression", KINDS),
        (config.RCNNOptions, "strategy", STRATEGIES),
        (config.Benchmark, "measure", PHASES),
        (config.Diagnose, "problem", ["all", *PROBLEMS]),
    ],
)
def test_the_words_that_a_key_takes_are_those_that_its_part_knows(cls: type, key: str, choices: Any) -> None:
    (listed,) = [one for _, found in conditions_of(hints(cls)[key]) for one in found if isinstance(one, OneOf)]
    assert set(listed.choices) == set(choices)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1, 2], "the configuration is [1, 2]: keys with values"),
        ({"nothing": 1}, "nothing: no such key"),
        ({1: 1}, "1: no such key"),
        ({"backbone": {"name": "resnet", "width": 1.0}}, "backbone.width: no such key"),
        ({"backbone": {"name": "resnet1"}}, "backbone.name=resnet1: choose one of vgg, resnet"),
        ({"backbone": {"name": []}}, "backbone.name=[]: choose one of"),
        ({"backbone": "resnet"}, "backbone is resnet: keys with values"),
        ({"trainer": None}, "trainer=null: a Trainer is expected"),
        ({"seed": None}, "seed=null: a whole number"),
        ({"evaluation": {"engine": "abacus"}}, "evaluation.engine=abacus: choose one of ultrafast, pycocotools"),
        ({"evaluation": {"motor": "pycocotools"}}, "evaluation.motor: no such key"),
        ({}, "data=... must be given"),
    ],
)
def test_a_dictionary_that_is_no_configuration_says_why(values: Any, said: str) -> None:
    whole = {} if values == {} else dataclasses.asdict(made(config.Train))
    with pytest.raises(UserError) as caught:
        config.from_dict({**whole, **values} if isinstance(values, dict) else values, "a.yaml: ")
    assert str(caught.value).startswith("a.yaml: ")
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_run_without_a_word_on_evaluation_has_its_defaults() -> None:
    settings = made(config.Train)
    settings.evaluation.engine = "pycocotools"
    values = dataclasses.asdict(settings)
    assert config.from_dict(values) == settings
    del values["evaluation"]
    assert config.from_dict(values).evaluation == config.Evaluation()


OVERRIDES = [
    "nan", "inf", "-inf", "-1", "0", "1e308", "9223372036854775808", "''", "abc", "null", "[]", "{}", "true", "a" * 5000,
]  # fmt: skip


def _leaves(settings: Any, prefix: str = "") -> Iterator[str]:
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from _leaves(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}"


def refusal(key: str, value: str) -> str:
    """What an override is answered with, empty where it can be."""
    said = ""
    try:
        config.check(composed("data=shapes", f"{key}={value}"))
    except UserError as error:
        said = str(error)
    except (HydraException, OmegaConfBaseException) as error:
        said = one_line(error) or ""
    return said


@pytest.mark.parametrize(
    ("key", "value"),
    [("trainer.ema", "nan"), ("optim.lr", "inf"), ("name", "''"), ("model.mean", "[]"), ("seed", "9223372036854775808"),
     ("head.bins", "true"), ("trainer.progress", "abc")],
)  # fmt: skip
def test_an_override_that_cannot_be_is_refused_in_one_line_that_names_the_key(key: str, value: str) -> None:
    said = refusal(key, value)
    assert key in said
    assert "\n" not in said


def test_an_override_that_can_be_is_not_refused() -> None:
    assert [refusal("data.root", "null"), refusal("seed", "4294967295"), refusal("trainer.ema", "0")] == ["", "", ""]


@pytest.mark.slow
def test_every_override_can_be_or_is_refused_in_one_line_that_names_the_key() -> None:
    for key in _leaves(composed("data=shapes")):
        for value in OVERRIDES:
            said = refusal(key, value)
            assert not said or (key in said and "\n" not in said), (key, value)


def _ends(hint: Any) -> Iterator[Any]:
    for kind, conditions in conditions_of(hint):
        for condition in conditions:
            if isinstance(condition, Range) and kind in (int, float):
                low = math.nextafter(condition.low, math.inf) if condition.above else condition.low
                high = math.nextafter(condition.high, -math.inf) if condition.below else condition.high
                yield from (kind(low), kind(high))


def _at_their_ends() -> Iterator[tuple[str, Any, str, Any]]:
    for group in ("model", "backbone", "neck", "head", "assigner", "loss"):
        for cls in config.GROUPS[group]:
            if cls not in (config.DarknetOptions, config.TimmOptions):
                for name, hint in hints(cls).items():
                    if _bare(hint) in (int, float):
                        yield from ((group, cls, name, value) for value in _ends(hint))


def assert_builds_or_names_its_group(group: str, cls: Any, name: str, value: Any) -> None:
    """On a device without memory: the ends of ranges are far larger than what anybody trains."""
    parts: dict[str, Any] = {
        "model": config.SingleShotOptions(),
        "backbone": config.CSPDarknetOptions(),
        "neck": config.PANOptions(),
        "head": config.AnchorFreeHeadOptions(),
        "assigner": config.TaskAlignedAssignerOptions(),
        "loss": config.CriterionOptions(name="ciou"),
    }
    part = dataclasses.replace(made(cls), **{name: value})
    parts[group] = part
    if parts["assigner"].needs_anchors:
        parts["head"] = config.AnchorBasedHeadOptions()
    for absent in parts.keys() - {"model", *parts["model"].parts}:
        parts[absent] = None
    said = ""
    try:
        config.check(part, f"{group}.")
        with torch.device("meta"):
            build_detector(classes=3, image_size=64, **parts)
    except UserError as error:
        said = str(error)
    assert not said or (f"{group}." in said and said.isprintable())


@pytest.mark.parametrize(
    ("group", "cls", "name", "value"),
    list(_at_their_ends())[::12],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_detector_can_be_built_at_the_ends_of_a_range(group: str, cls: Any, name: str, value: Any) -> None:
    assert_builds_or_names_its_group(group, cls, name, value)


@pytest.mark.slow
def test_a_detector_can_be_built_at_the_ends_of_every_range() -> None:
    for one in _at_their_ends():
        assert_builds_or_names_its_group(*one)


@pytest.mark.parametrize(
    ("written", "meant"),
    [(False, "off"), (True, "network"), ("true", "network"), ("off", "off"), ("network", "network"), ("step", "step")],
)
def test_what_is_compiled_may_be_written_as_it_used_to_be(written: Any, meant: str) -> None:
    part = config.Trainer(compile=written)
    assert part.compile == meant
    config.check(part)


def test_nothing_is_recorded_that_is_not_compiled() -> None:
    with pytest.raises(UserError, match=r"cuda_graphs=true.*trainer\.compile"):
        config.check(config.Trainer(cuda_graphs=True))
