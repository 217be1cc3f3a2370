"""Classes that a split lacks, that are rare, or that are more frequent in one split than in another by more than chance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from detector.data.checks.finding import Finding
from detector.data.index import Index

RARE = 20
"""Objects of a class in the training split below which there is little to learn it from."""
OTHER_SHARE = 2.0
"""Ratio of a class's shares of the objects in two splits below which they are not said to differ."""
BEYOND_CHANCE = 4.0
"""Standard deviations, over images drawn at random, by which two shares must differ to be said so."""


def class_findings(indices: Mapping[str, Index]) -> list[Finding]:
    """What is wrong with how the classes are spread over the splits; crowds do not count."""
    counts = {split: _per_image(index) for split, index in indices.items()}
    found = []
    for split, index in indices.items():
        totals = counts[split].sum(axis=0)
        for label, name in enumerate(index.class_names):
            everywhere = sum(int(one[:, label].sum()) for one in counts.values())
            if totals[label] == 0:
                what = {
                    "train": f"{name}: there is no object to learn it from",
                    "val": f"{name}: there is no object to measure it by, and AP is the mean over the other classes",
                }.get(split, f"{name}: there is no object to measure it by")
                what += f"; the other splits have {everywhere}" if everywhere else "; no split has any"
                found.append(Finding("class without objects", f"data.{split}", what))
            elif split == "train" and totals[label] < RARE:
                found.append(Finding("rare class", "data.train", f"{name}: only {totals[label]} to learn from"))
            if (
                split != "train"
                and "train" in counts
                and (shares := _other_share(counts["train"], counts[split], label))
            ):
                found.append(Finding("class in other shares", f"data.{split}", f"{name}: {shares}"))
    return found


def _per_image(index: Index) -> np.ndarray:
    """int64 [I, K]: objects of each class in each image, without crowds."""
    classes = len(index.class_names)
    owners = np.repeat(np.arange(len(index)), np.diff(index.offsets))
    single = ~index.crowd
    flat = np.bincount(owners[single] * classes + index.labels[single], minlength=len(index) * classes)
    return flat.reshape(len(index), classes)


def _other_share(train: np.ndarray, other: np.ndarray, label: int) -> str | None:
    """The shares of a class among the objects of two splits where they differ; None where that may be chance.

    Objects of one image are not independent, so that the deviation of a share is that of a ratio over images.
    """
    shares, variances = [], []
    for counts in (train, other):
        own, all_classes = counts[:, label].astype(float), counts.sum(axis=1).astype(float)
        if len(counts) < 2 or not all_classes.sum():
            return None
        share = own.sum() / all_classes.sum()
        shares.append(share)
        variances.append(np.var(own - share * all_classes, ddof=1) / len(counts) / all_classes.mean() ** 2)
    low, high = sorted(shares)
    if low == 0 or high < OTHER_SHARE * low or high - low < BEYOND_CHANCE * sum(variances) ** 0.5:
        return None
    return f"{shares[1]:.1%} of the objects, {shares[0]:.1%} in train"
