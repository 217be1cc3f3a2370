"""The assigners to choose from."""

from detector.assigners.assigner import Assigner, AssignerOptions, Assignment
from detector.assigners.max_iou import MaxIoUAssignerOptions
from detector.assigners.simota import SimOTAAssignerOptions
from detector.assigners.task_aligned import TaskAlignedAssignerOptions

__all__ = ["ASSIGNERS", "Assigner", "AssignerOptions", "Assignment"]

ASSIGNERS: tuple[type[AssignerOptions], ...] = (
    TaskAlignedAssignerOptions,
    SimOTAAssignerOptions,
    MaxIoUAssignerOptions,
)
