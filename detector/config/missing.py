"""What a value is before it is given."""

from typing import Any

MISSING: Any = "???"
"""OmegaConf's mark for a value that must be given."""
