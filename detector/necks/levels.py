"""Which levels a neck gives."""

from __future__ import annotations

from detector.errors import OptionError
from detector.types import FeatureInfo


def pyramid_levels(lowest: int, highest: int, features: FeatureInfo) -> list[int]:
    """[lowest, ..., highest], where level k has stride 2^k.

    Raises `OptionError` unless `lowest` is 2 or 3 and `highest` 5 or 6, and where `features` lack C(lowest).
    """
    if lowest not in (2, 3):
        raise OptionError("lowest", f"{lowest} is not a level to start at; choose 2 or 3")
    if highest not in (5, 6):
        raise OptionError("highest", f"{highest} is not a level to end at; choose 5 or 6")
    if f"C{lowest}" not in features.names:
        raise OptionError("lowest", f"the backbone gives {', '.join(features.names)} and no C{lowest}; choose 3")
    return list(range(lowest, highest + 1))
