"""The necks to choose from."""

from detector.necks.fpn import FPNOptions
from detector.necks.identity import NoNeckOptions
from detector.necks.neck import Neck, NeckOptions
from detector.necks.pan import PANOptions

__all__ = ["NECKS", "Neck", "NeckOptions"]

NECKS: tuple[type[NeckOptions], ...] = (FPNOptions, PANOptions, NoNeckOptions)
