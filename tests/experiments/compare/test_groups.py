from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from composition import composed

from detector import config
from detector.command_line import CONFIGS
from detector.experiments.compare.groups import (
    LONGEST_LABEL,
    PLACE_AND_CHANCE,
    group_runs,
    label_by_difference,
    label_configs,
)
from detector.experiments.compare.runs import Run

Configure = Callable[..., config.Train]
SHAPES = "experiment=shapes"


def as_run(train: config.Train, name: str) -> Run:
    return Run(Path(name), train, {})


def test_runs_that_differ_in_seed_and_place_alone_are_one_group(tiny: Configure) -> None:
    runs = [
        as_run(tiny(seed=3, name="x"), "a"),
        as_run(tiny(loss=config.CriterionOptions(name="giou", box="giou")), "b"),
        as_run(tiny(seed=1, runs="elsewhere", callbacks=config.Callbacks(name="health", health_every=50)), "c"),
    ]
    groups = group_runs(runs)
    assert [[run.folder.name for run in group.runs] for group in groups] == [["c", "a"], ["b"]]
    assert [group.label for group in groups] == ["loss=ciou", "loss=giou"]


def test_one_group_is_called_by_its_name(tiny: Configure) -> None:
    (group,) = group_runs([as_run(tiny(name="plain"), "a"), as_run(tiny(name="plain", seed=1), "b")])
    assert group.label == "plain"


def test_a_label_is_the_overrides_that_make_the_configuration_from_the_base() -> None:
    given = [
        [],
        ["loss=giou"],
        ["backbone=resnet18"],
        ["backbone=resnet18", "backbone.norm=group"],
        ["backbone=vgg16"],
        ["neck=fpn", "neck.channels=64"],
        ["optim=sgd", "optim.lr=0.02"],
        ["trainer.epochs=5"],
        ["augment=mosaic", "augment.hue=0.5", "augment.albumentations=[{name: GaussianBlur, p: 0.5}]"],
        ["data.batch_size=4", "data.val=null"],
        ["head.bins=0", "image_size=320", "model.mean=[0.0,0.0,0.0]"],
    ]
    settings = [composed(SHAPES, *overrides) for overrides in given]
    labels = label_configs(settings)
    assert len(set(labels)) == len(labels)
    for label, one in zip(labels, settings, strict=True):
        assert composed(SHAPES, *label.split()) == one


def test_a_label_says_no_more_than_what_differs() -> None:
    settings = [composed(SHAPES, *overrides) for overrides in (["loss=giou", "trainer.epochs=3"], ["trainer.epochs=3"])]
    assert label_configs(settings) == ["loss=giou", "loss=ciou"]
    settings = [
        composed(SHAPES, *overrides) for overrides in (["loss.gamma=1.0"], [], ["loss.gamma=1.0", "seed=4", "name=x"])
    ]
    assert label_configs(settings[:2]) == ["loss.gamma=1.0", "loss.gamma=2.0"]
    assert [len(group.runs) for group in group_runs([as_run(one, "x") for one in settings])] == [2, 1]


REQUIRED = {
    "backbone=timm": ["backbone.model=resnet18"],
    "backbone=darknet_cfg": ["backbone.cfg=some.cfg"],
    "model=darknet": ["model.cfg=some.cfg"],
}
CHOICES = [
    (path.parent.name, path.stem)
    for path in sorted(CONFIGS.glob("*/*.yaml"))
    if path.parent.name in config.GROUPS
    and len(list(path.parent.glob("*.yaml"))) > 1
    and path.parent.name not in ("data", *PLACE_AND_CHANCE)
]


@cache
def _choice(group: str, name: str) -> config.Train:
    return composed("data=shapes", f"{group}={name}", *REQUIRED.get(f"{group}={name}", []))


def first_of_each(choices: list[tuple[str, str]]) -> Iterator[Any]:
    """Of each group one in every test run."""
    seen: set[str] = set()
    for group, choice in choices:
        yield pytest.param(group, choice, marks=pytest.mark.slow if group in seen else ())
        seen.add(group)


@pytest.mark.parametrize(("group", "choice"), first_of_each(CHOICES))
def test_every_choice_is_called_by_the_name_of_its_file(group: str, choice: str) -> None:
    other = next(stem for name, stem in CHOICES if name == group and stem != choice)
    one, base = _choice(group, choice), _choice(group, other)
    labels = label_configs([one, base])
    assert [label.split()[0] for label in labels] == [f"{group}={choice}", f"{group}={other}"]


def test_groups_are_labelled_by_their_difference_from_the_reference_and_it_by_the_same_keys(tiny: Configure) -> None:
    groups = group_runs(
        [
            as_run(tiny(trainer=config.Trainer(ema=ema, multi_scale=scale), seed=seed), f"{ema} {scale}")
            for ema, scale, seed in ((0.9, 0.0, 0), (0.0, 0.0, 1), (0.9, 0.3, 2))
        ]
    )
    labels = [group.label for group in label_by_difference(groups[1], groups)]
    assert labels == [
        "trainer.ema=0.9",
        "trainer.ema=0.0 trainer.multi_scale=0.0",
        "trainer.ema=0.9 trainer.multi_scale=0.3",
    ]


def test_kinds_of_models_are_called_by_the_model_alone(tiny: Configure) -> None:
    models = (config.SingleShotOptions(), config.FasterRCNNOptions(), config.RCNNOptions())
    groups = group_runs([as_run(tiny(model=model, seed=n), str(n)) for n, model in enumerate(models)])
    assert len(groups[0].label.split()) > LONGEST_LABEL
    labels = [group.label for group in label_by_difference(groups[0], groups)]
    assert labels == ["model=single_shot", "model=faster_rcnn", "model=rcnn"]


def test_a_reference_that_many_keys_tell_from_the_others_is_called_so(tiny: Configure) -> None:
    trainers = [
        config.Trainer(),
        config.Trainer(ema=0.9),
        config.Trainer(multi_scale=0.3),
        config.Trainer(adversarial=0.5),
        config.Trainer(clip=1.0),
    ]
    groups = group_runs([as_run(tiny(trainer=trainer, seed=n), str(n)) for n, trainer in enumerate(trainers)])
    assert label_by_difference(groups[0], groups)[0].label == "reference"


VARIED: list[tuple[str, object, object]] = [
    (
        "optim",
        config.AdamWOptions(),
        config.SGDOptions(lr=config.AdamWOptions.lr, weight_decay=config.AdamWOptions.weight_decay),
    ),
    ("optim", config.AdamWOptions(), config.AdamWOptions(momentum=0.8)),
    ("loss", config.CriterionOptions(name="ciou"), config.CriterionOptions(name="giou", box="giou")),
    ("loss", config.CriterionOptions(name="ciou"), config.CriterionOptions(name="ciou", box_weight=7.0)),
    ("backbone", config.CSPDarknetOptions(depth=0.33, width=0.125), config.CSPDarknetOptions(depth=0.33, width=0.25)),
    ("neck", config.PANOptions(), config.FPNOptions()),
    ("neck", config.PANOptions(), config.PANOptions(norm="group")),
    ("head", config.AnchorFreeHeadOptions(), config.AnchorFreeHeadOptions(bins=0)),
    ("assigner", config.TaskAlignedAssignerOptions(), config.SimOTAAssignerOptions()),
    ("augment", config.Augment(name="light"), config.Augment(name="light", hue=0.2)),
    ("data", config.Shapes(train_images=40), config.Shapes(train_images=41)),
    ("data", config.Shapes(batch_size=8), config.Shapes(batch_size=4)),
    ("model", config.SingleShotOptions(), config.SingleShotOptions(suppression="soft")),
    ("model", config.SingleShotOptions(), config.FasterRCNNOptions()),
    ("trainer", config.Trainer(epochs=3), config.Trainer(epochs=4)),
    ("trainer", config.Trainer(ema=0.99), config.Trainer(ema=0.9)),
    ("image_size", 320, 256),
]


@pytest.mark.parametrize(("key", "first", "second"), VARIED, ids=lambda value: getattr(value, "name", str(value)))
def test_runs_that_differ_in_one_choice_of_a_group_are_two_groups(
    tiny: Configure, key: str, first: object, second: object
) -> None:
    runs = [
        as_run(tiny(**{key: value}, seed=seed), f"{number} {seed}")
        for seed in (0, 1)
        for number, value in enumerate((first, second))
    ]
    groups = group_runs(runs)
    assert [len(group.runs) for group in groups] == [2, 2]
    assert len({group.label for group in groups}) == 2


def test_every_group_of_the_configuration_is_varied_above() -> None:
    assert {key for key, _, _ in VARIED} >= set(config.GROUPS) - {"logger", "callbacks"}
