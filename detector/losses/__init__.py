"""The losses to choose from."""

from detector.losses.criterion import Criterion, CriterionOptions

__all__ = ["LOSSES", "Criterion", "CriterionOptions"]

LOSSES: tuple[type[CriterionOptions], ...] = (CriterionOptions,)
