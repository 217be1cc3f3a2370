"""Boxes with captions on pictures, and pictures side by side. Pictures are uint8 RGB [H, W, 3]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from detector.types import Target

Color = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]  # left, top, right, bottom in pixels; right and bottom are outside

SHEET_BACKGROUND: Color = (32, 32, 32)
SHEET_TEXT: Color = (235, 235, 235)


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray | Tensor,
    labels: np.ndarray | Tensor,
    class_names: Sequence[str],
    scores: np.ndarray | Tensor | None = None,
    ids: np.ndarray | Tensor | None = None,
) -> np.ndarray:
    """A copy of `image` uint8 [H, W, 3] with `boxes` [N, 4] (xyxy, pixels), each with its class name and its score.

    `labels` are integers [N], `scores` [N] in 0..1 or None, `ids` [N] the numbers of tracked objects or None; a negative one
    is not shown. Boxes come best first: earlier ones lie on top and choose the place of their caption first.
    """
    names = [class_names[label] for label in np.asarray(labels).tolist()]
    if scores is not None:
        names = [f"{name} {score:.2f}" for name, score in zip(names, np.asarray(scores).tolist(), strict=True)]
    if ids is not None:
        numbers = np.asarray(ids).tolist()
        names = [f"#{number} {name}" if number >= 0 else name for name, number in zip(names, numbers, strict=True)]
    return draw_captioned_boxes(image, boxes, labels, names)


def draw_captioned_boxes(
    image: np.ndarray, boxes: np.ndarray | Tensor, labels: np.ndarray | Tensor, captions: Sequence[str]
) -> np.ndarray:
    """A copy of `image` uint8 [H, W, 3] with `boxes` [N, 4] in the colours of `labels` [N], each with its own caption.

    Lines and captions lie as in `draw_marks`.
    """
    return draw_marks(image, boxes, [class_color(label) for label in np.asarray(labels).tolist()], captions)


def draw_marks(
    image: np.ndarray,
    boxes: np.ndarray | Tensor,
    colors: Sequence[Color],
    captions: Sequence[str],
    dashed: Sequence[bool] | None = None,
) -> np.ndarray:
    """A copy of `image` uint8 [H, W, 3] with `boxes` [N, 4], each with its own colour, caption and line.

    Lines lie just outside their box, so that a small object stays visible, and inside the image. Line and text grow
    with the image. A caption is put at its box where it hides least of other captions and of boxes, always inside the
    image; one that is too long for the image is cut.
    """
    height, width = image.shape[:2]
    scale = _scale(height, width)
    line = max(1, round(2 * scale))
    font = _font(scale)
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)

    outlines = [_outline(box, line, height, width) for box in np.asarray(boxes, dtype=np.float64).tolist()]
    kinds = [False] * len(outlines) if dashed is None else dashed
    for outline, color, dashes in reversed(list(zip(outlines, colors, kinds, strict=True))):
        left, top, right, bottom = outline
        if dashes:
            _draw_dashes(draw, outline, color, line)
        else:
            draw.rectangle((left, top, right - 1, bottom - 1), outline=color, width=line)

    texts = [_cut(text, font, width) for text in captions]
    placed = _place_captions([_text_size(text, font) for text in texts], outlines, height, width)
    for (left, top, right, bottom), text, color in reversed(list(zip(placed, texts, colors, strict=True))):
        draw.rectangle((left, top, right - 1, bottom - 1), fill=color)
        draw.text((left + _padding(font), top), text, fill=_readable_on(color), font=font)
    return np.asarray(picture).copy()


def draw_target(image: np.ndarray, target: Target, class_names: Sequence[str]) -> np.ndarray:
    """A copy of `image` uint8 [H, W, 3] with its annotated boxes and their class names; crowds are marked as such."""
    captions = [
        class_names[label] + (" (crowd)" if crowd else "")
        for label, crowd in zip(target.labels.tolist(), target.crowd.tolist(), strict=True)
    ]
    return draw_captioned_boxes(image, target.boxes.cpu(), target.labels.cpu(), captions)


def contact_sheet(images: Sequence[np.ndarray], columns: int, captions: Sequence[str] | None = None) -> np.ndarray:
    """Images uint8 [H, W, 3], one or more of any sizes, row by row in a grid, each above its caption; not resized.

    Rows are as high and columns as wide as their largest image; images sit at the top left of their cell. A caption
    that is wider than its column is cut.
    """
    columns = min(columns, len(images))
    cells = [divmod(i, columns) for i in range(len(images))]
    row_heights = [max(image.shape[0] for image in images[i : i + columns]) for i in range(0, len(images), columns)]
    column_widths = [max(image.shape[1] for image in images[i::columns]) for i in range(columns)]
    scale = _scale(max(row_heights), max(column_widths))
    gap = max(4, round(6 * scale))
    font = _font(scale)
    strip = 0 if captions is None else _text_size("", font)[1]
    tops = [gap, *(gap + np.cumsum(np.array(row_heights) + strip + gap)).tolist()]
    lefts = [gap, *(gap + np.cumsum(np.array(column_widths) + gap)).tolist()]

    sheet = np.empty((tops[-1], lefts[-1], 3), dtype=np.uint8)
    sheet[:] = SHEET_BACKGROUND
    for image, (row, column) in zip(images, cells, strict=True):
        sheet[tops[row] :, lefts[column] :][: image.shape[0], : image.shape[1]] = image
    if captions is None:
        return sheet

    picture = Image.fromarray(sheet)
    draw = ImageDraw.Draw(picture)
    for image, caption, (row, column) in zip(images, captions, cells, strict=True):
        text = _cut(caption, font, column_widths[column])
        draw.text((lefts[column], tops[row] + image.shape[0]), text, fill=SHEET_TEXT, font=font)
    return np.asarray(picture).copy()


def class_color(label: int) -> Color:
    """The colour of a class, the same in every picture. The first 64 are all different, the early ones the most."""
    palette = _palette()
    return palette[label % len(palette)]


@lru_cache(maxsize=1)
def _palette(count: int = 64) -> list[Color]:
    """Strong colours, each the farthest in CIE Lab from all before it."""
    levels = np.linspace(0, 255, 12).round().astype(np.uint8)
    rgb = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[:, 0]
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    strong = (chroma > 45) & (lab[:, 0] > 40) & (lab[:, 0] < 92)  # neither grey nor lost on black or white
    rgb, lab = rgb[strong, 0], lab[strong]
    chosen = [int(np.argmin(np.abs(rgb.astype(int) - (0, 209, 46)).sum(axis=1)))]  # a green starts
    distance = np.full(len(lab), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    return [(int(r), int(g), int(b)) for r, g, b in rgb[chosen]]


def _readable_on(color: Color) -> Color:
    """Black or white, whichever has the higher WCAG contrast with `color`."""
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)


def _outline(box: Sequence[float], line: int, height: int, width: int) -> Rectangle:
    """The box grown by the line's width, at least one pixel large and cut to the image."""
    left, right = sorted((box[0], box[2]))
    top, bottom = sorted((box[1], box[3]))
    x1 = min(max(math.floor(left) - line, 0), width - 1)
    y1 = min(max(math.floor(top) - line, 0), height - 1)
    return x1, y1, max(min(math.ceil(right) + line, width), x1 + 1), max(min(math.ceil(bottom) + line, height), y1 + 1)


def _draw_dashes(draw: ImageDraw.ImageDraw, outline: Rectangle, color: Color, line: int) -> None:
    """Dashes as long as the gaps between them, from the top left corner of each side on; the gaps are black."""
    left, top, right, bottom = outline
    dash = 4 * line
    draw.rectangle((left, top, right - 1, bottom - 1), outline=(0, 0, 0), width=line)
    for x in range(left, right, 2 * dash):
        end = min(x + dash, right) - 1
        draw.rectangle((x, top, end, top + line - 1), fill=color)
        draw.rectangle((x, bottom - line, end, bottom - 1), fill=color)
    for y in range(top, bottom, 2 * dash):
        end = min(y + dash, bottom) - 1
        draw.rectangle((left, y, left + line - 1, end), fill=color)
        draw.rectangle((right - line, y, right - 1, end), fill=color)


def _place_captions(
    sizes: Sequence[tuple[int, int]], outlines: Sequence[Rectangle], height: int, width: int
) -> list[Rectangle]:
    """Places captions of `sizes` (width, height), each at its box, hiding least of earlier captions and of boxes."""
    boxes = np.array(outlines).reshape(-1, 4)
    box_areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    placed = np.zeros_like(boxes)
    for number, (wide, high) in enumerate(sizes):
        left, top, right, bottom = outlines[number]
        corners = np.array(
            [
                (left, top - high),  # above
                (left, bottom),  # below
                (right - wide, top - high),
                (right - wide, bottom),
                (right, top),  # beside
                (left - wide, top),
                (right, bottom - high),
                (left - wide, bottom - high),
                (left, top),  # inside
            ]
        )
        inside = corners.clip((0, 0), (max(width - wide, 0), max(height - high, 0)))
        moved = np.abs(inside - corners).sum(axis=1) > 0
        hidden_captions = _shared_area(inside, (wide, high), placed[:number]).sum(axis=1) / (wide * high)
        hidden_boxes = (_shared_area(inside, (wide, high), boxes) / box_areas).sum(axis=1)
        cost = (4 * hidden_captions + hidden_boxes).round(1)  # a little hidden does not outweigh the usual place
        x, y = inside[np.lexsort((moved, cost))[0]]
        placed[number] = x, y, min(x + wide, width), min(y + high, height)
    return [(left, top, right, bottom) for left, top, right, bottom in placed.tolist()]


def _shared_area(corners: np.ndarray, size: tuple[int, int], others: np.ndarray) -> np.ndarray:
    """Pixels [P, R] that rectangles of `size` (width, height) at `corners` [P, 2] share with `others` [R, 4]."""
    x, y = corners[:, :1], corners[:, 1:]
    width = np.minimum(x + size[0], others[:, 2]) - np.maximum(x, others[:, 0])
    height = np.minimum(y + size[1], others[:, 3]) - np.maximum(y, others[:, 1])
    return np.maximum(width, 0) * np.maximum(height, 0)


def _scale(height: int, width: int) -> float:
    """1 for an image of 640 × 480; lines and text grow more slowly than the image."""
    return (min(height, width) / 480) ** 0.75


@lru_cache(maxsize=32)
def _font(scale: float) -> ImageFont.FreeTypeFont:
    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(file), max(10, round(12 * scale)))


def _padding(font: ImageFont.FreeTypeFont) -> int:
    return max(2, round(font.size / 6))


def _text_size(text: str, font: ImageFont.FreeTypeFont) -> tuple[int, int]:
    """(width, height) of a line of text with its background, the same height for every text."""
    return math.ceil(font.getlength(text)) + 2 * _padding(font), sum(font.getmetrics())


def _cut(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    if _text_size(text, font)[0] <= width:
        return text
    while text and _text_size(text + "…", font)[0] > width:
        text = text[:-1]
    return text + "…"
