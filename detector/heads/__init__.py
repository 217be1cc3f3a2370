"""The heads to choose from."""

from detector.heads.anchor_based import AnchorBasedHeadOptions
from detector.heads.anchor_free import AnchorFreeHeadOptions
from detector.heads.head import Head, HeadOptions

__all__ = ["HEADS", "Head", "HeadOptions"]

HEADS: tuple[type[HeadOptions], ...] = (AnchorFreeHeadOptions, AnchorBasedHeadOptions)
