"""A number that an object keeps all along a video: ByteTrack (Zhang et al. 2022), as the package `trackers` computes it.

Boxes of a frame are matched with where the objects known so far are expected (a Kalman filter of each), whatever their class:
first those that a detection is sure of, then, for objects still unmatched, weaker ones, as of something half hidden. An object
that is not found waits a second. It has its number from the second frame in a row on.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from detector.errors import UserError
from detector.types import Detections

LOWEST_SCORE = 0.1
"""Score from which a detection can carry on an object that is known, as in the paper."""


class Tracker:
    """The objects of one video so far.

    Args:
        score: from which on a detection may be a new object, 0..1.
        frame_rate: frames a second.

    Raises:
        UserError: the package `trackers` is not installed.
    """

    def __init__(self, score: float = 0.3, frame_rate: float = 25.0) -> None:
        try:
            from trackers import ByteTrackTracker
        except ImportError as error:
            raise UserError(
                f"track=true: needs the package trackers: pip install 'detector-lab[track]' ({error})"
            ) from error
        self.score = score
        self.lowest_score = min(LOWEST_SCORE, score)
        """The score from which on detections are of use to `update`."""
        self._tracker = ByteTrackTracker(
            frame_rate=frame_rate, track_activation_threshold=score, high_conf_det_threshold=score
        )

    def update(self, found: Detections) -> Detections:
        """The detections of the next frame from `score` on, in their order, with `ids` from 0 on, −1 where there is none yet.

        Those from `lowest_score` on carry objects on without being given back.
        """
        found = found[found.scores >= self.lowest_score]
        given = found.to_supervision()
        given.data["row"] = np.arange(len(found))
        tracked = self._tracker.update(given)
        ids = torch.full((len(found),), -1)
        if len(tracked):
            ids[torch.from_numpy(tracked.data["row"])] = torch.from_numpy(tracked.tracker_id)
        return replace(found, ids=ids)[found.scores >= self.score]
