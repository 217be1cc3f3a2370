"""Pictures that are in a data set more than once, changed or not: what a detector has seen in training must not measure it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from detector.data.checks.files import FileFindings
from detector.data.checks.finding import Finding, Place
from detector.data.checks.picture_hash import BLANK, ORIENTATIONS, Candidates, Orientation, candidates
from detector.data.checks.same_picture import (
    ALIKE,
    CLOSER_SIDE,
    SAME_PARTS,
    Agreement,
    alignment,
    closer_agreement,
    closer_view,
)
from detector.data.images.loading import load_image
from detector.data.index import Index
from detector.errors import UserError

MOST_COMPARED = 3000
"""Pairs of pictures that are laid on one another; each takes some 10 ms, and 50 ms where thumbnails agree."""
TRIES = 3
"""The nearest pictures that each picture is compared with, within its split and in the others."""


def repeated_images(splits: Mapping[str, tuple[Index, FileFindings]]) -> list[Finding]:
    """Files with the same bytes, in two splits or twice in one."""
    places: dict[bytes, list[Place]] = {}
    for split, (_, findings) in splits.items():
        for i, digest in findings.contents.items():
            places.setdefault(digest, []).append((split, i))
    found = []
    for first, *others in places.values():
        for place in others:
            kind = "image in two splits" if place[0] != first[0] else "repeated image"
            what = f"{place[0]} has the same picture as {_where(splits, first)} in {first[0]}"
            found.append(Finding(kind, _where(splits, place), what, place=place, other=first))
    return found


def similar_images(splits: Mapping[str, tuple[Index, FileFindings]]) -> tuple[list[Finding], list[str]]:
    """Pictures that are changed copies of others, or much alike, and a line on what was not compared.

    Files with the same bytes count once. Of two pictures the later one is reported, with the one that it agrees with most.
    """
    places, seen, plain = [], set(), 0
    for split, (_, findings) in splits.items():
        for i, thumbnail in findings.thumbnails.items():
            if findings.contents[i] in seen:
                continue
            seen.add(findings.contents[i])
            if thumbnail.std() >= BLANK:
                places.append((split, i))
            else:
                plain += 1
    notes = [f"{plain} × picture too plain to be recognised in another one"] if plain else []
    if not places:
        return [], notes
    thumbnails = np.stack([splits[split][1].thumbnails[i] for split, i in places])
    chosen, left_out = _nearest(candidates(thumbnails), [split for split, _ in places])

    def compare(pair: tuple[int, int, int]) -> Agreement | None:
        first, second, orientation = pair
        return _compared(splits, places[first], places[second], ORIENTATIONS[orientation])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        agreements = list(pool.map(compare, chosen))
    best: dict[tuple[int, str], tuple[bool, float, Finding]] = {}
    for (first, second, number), agreement in zip(chosen, agreements, strict=True):
        if agreement is None:
            continue
        same = agreement.parts >= SAME_PARTS
        earlier, later = places[min(first, second)], places[max(first, second)]
        finding = _finding(splits, later, earlier, ORIENTATIONS[number], agreement, same)
        rank = (same, agreement.correlation, finding)
        key = (max(first, second), earlier[0])
        if key not in best or rank[:2] > best[key][:2]:
            best[key] = rank
    if left_out:
        notes.append(
            f"of the pairs of pictures with nearly the same hash the {len(chosen):,} nearest were compared, {left_out:,} not: "
            "the pictures may be frames of videos"
        )
    return [finding for _, _, finding in best.values()], notes


def _nearest(found: Candidates, splits: list[str]) -> tuple[list[tuple[int, int, int]], int]:
    """The pairs to compare, as (first, second, orientation), between splits first; and how many are left out for time."""
    tried: Counter[tuple[int, str]] = Counter()
    between: list[tuple[int, int, int]] = []
    within: list[tuple[int, int, int]] = []
    for first, second, orientation in zip(
        found.first.tolist(), found.second.tolist(), found.orientations.tolist(), strict=True
    ):
        earlier, later = min(first, second), max(first, second)
        key = (later, splits[earlier])
        if tried[key] == TRIES:
            continue
        tried[key] += 1
        pairs = within if splits[later] == splits[earlier] else between
        pairs.append((first, second, orientation))
    left_out = max(0, len(between) + len(within) - MOST_COMPARED)
    return (between + within)[:MOST_COMPARED], left_out


def _compared(
    splits: Mapping[str, tuple[Index, FileFindings]], first: Place, second: Place, orientation: Orientation
) -> Agreement | None:
    """How the pictures agree, the first in that orientation; None where they are not even alike."""
    small = [splits[split][1].thumbnails[i] for split, i in (first, second)]
    correlation, coarse = alignment(orientation.applied(small[0]), small[1])
    if correlation < ALIKE:
        return None
    try:
        larger = [closer_view(load_image(splits[split][0], i, 2 * CLOSER_SIDE)) for split, i in (first, second)]
    except UserError:  # the file is gone, or of another size than annotated, which is a finding of its own
        return None
    agreement = closer_agreement(orientation.applied(larger[0]), larger[1], coarse)
    return agreement if agreement.correlation >= ALIKE else None


def _finding(
    splits: Mapping[str, tuple[Index, FileFindings]],
    later: Place,
    earlier: Place,
    orientation: Orientation,
    agreement: Agreement,
    same: bool,
) -> Finding:
    kind = "near-duplicate" if same else "similar image"
    if later[0] != earlier[0]:
        kind += " in two splits"
    elif same:
        kind += " image"
    laid = "" if orientation == ORIENTATIONS[0] else f" {orientation}"
    what = (
        f"{later[0]} has {'a changed copy of' if same else 'a picture much like'} {_where(splits, earlier)} in {earlier[0]}"
        f"{laid} (correlation {agreement.correlation:.3f}, least agreement of a part {agreement.parts:.2f})"
    )
    return Finding(kind, _where(splits, later), what, place=later, other=earlier)


def _where(splits: Mapping[str, tuple[Index, FileFindings]], place: Place) -> str:
    return splits[place[0]][0].where(place[1])
