"""Networks taken apart: what their layers are, what they cost and what they see."""

from detector.inspection.summary import Summary, inspect

__all__ = ["Summary", "inspect"]
