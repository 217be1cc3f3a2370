"""Pictures of a detector's detections in an image: true, false and missed ones each have a colour."""

from __future__ import annotations

import cv2
import numpy as np

from detector.data.index import Index
from detector.experiments.compare.disagreement import Answers
from detector.visualization.draw import Color, draw_marks

SIDE = 440
"""Pixels of the long side."""
# Colour-blind people can distinguish them too (Okabe & Ito 2008); each has a word or a sign and a line of its own as well.
RIGHT: Color = (0, 158, 115)
WRONG: Color = (213, 94, 0)
MISSED: Color = (240, 228, 66)
ANNOTATED: Color = (86, 180, 233)
CROWD: Color = (160, 160, 160)


def annotated_picture(index: Index, image: int) -> np.ndarray:
    """What is annotated in an image of the index: uint8 RGB [H, W, 3] with the long side of `SIDE` pixels."""
    picture, scale = _picture(index, image)
    annotations = index.annotations
    rows = annotations.rows(image)
    crowd = annotations.crowd[rows].tolist()
    captions = [
        index.class_names[label] + (" (crowd)" if ignored else "")
        for label, ignored in zip(annotations.labels[rows].tolist(), crowd, strict=True)
    ]
    return draw_marks(
        picture, annotations.corners[rows] * scale, [CROWD if ignored else ANNOTATED for ignored in crowd], captions
    )


def matched_picture(answers: Answers, image: int) -> np.ndarray:
    """What is detected in an image, and what was missed: as `annotated_picture`.

    Right: green, ✓. Wrong: red, ✗. Missed: yellow, dashed, "missed". Grey, no sign: it found a crowd and counts neither way.
    """
    matched, index = answers.matched, answers.matched.index
    picture, scale = _picture(index, image)
    results = matched.results
    rows = index.annotations.rows(image)
    missed = (matched.wanted & ~answers.found)[rows]
    boxes = [index.annotations.corners[rows][missed]]
    colors = [MISSED] * int(missed.sum())
    captions = [f"missed {index.class_names[label]}" for label in index.annotations.labels[rows][missed].tolist()]

    shown = np.flatnonzero((results.images == image) & (results.scores >= answers.score))
    shown = shown[np.lexsort((-results.scores[shown], matched.true[shown]))]  # wrong ones lie on top, as missed ones do
    for row in shown.tolist():
        sign, color = ("✓ ", RIGHT) if matched.true[row] else ("✗ ", WRONG) if matched.false[row] else ("", CROWD)
        x, y, width, height = results.boxes[row].tolist()
        boxes.append(np.array([[x, y, x + width, y + height]]))
        colors.append(color)
        captions.append(f"{sign}{index.class_names[results.labels[row]]} {results.scores[row]:.2f}")
    dashed = [color == MISSED for color in colors]
    return draw_marks(picture, np.concatenate(boxes) * scale, colors, captions, dashed)


def _picture(index: Index, image: int) -> tuple[np.ndarray, float]:
    """The image at the size of a picture, and what its pixels are multiplied by."""
    original = index.image(image)
    height, width = original.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(original, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA), scale
