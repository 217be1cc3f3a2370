"""A page of the images on which two detectors disagree most: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

import cv2
import numpy as np

from detector.evaluation.per_image import IOU
from detector.experiments.compare.disagreement import Answers, found_by_first_alone, most_disputed
from detector.experiments.compare.matched_picture import annotated_picture, matched_picture

MOST_IMAGES = 12
JPEG_QUALITY = 85
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1400px; margin: 2rem auto; padding: 0 1rem; color: #222 }
figure { margin: 2.2rem 0; border-top: 1px solid #bbb; padding-top: .8rem }
.row { display: flex; gap: .6rem; flex-wrap: wrap }
.row div { flex: 1 1 300px; max-width: 440px }
.row img { width: 100% }
figcaption { margin: 0 0 .6rem }
"""


def disagreement_page(title: str, labels: Sequence[str], groups: Sequence[Answers]) -> str:
    """The page of two detectors, called by `labels`, that were measured on the same index.

    Raises:
        UserError: an image cannot be read.
    """
    first, second = groups
    index = first.matched.index
    disputed = most_disputed(first, second, MOST_IMAGES)
    names = [f"{letter}: {escape(label)}" for letter, label in zip("AB", labels, strict=True)]
    figures = "\n".join(_figure(place, image, groups) for place, image in enumerate(disputed, 1))
    if not disputed:
        figures = "<p>On every image both have the same F1.</p>"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{escape(title)}: where the two disagree most</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{escape(title)}: where the two disagree most</h1>
<p><strong>{names[0]}</strong>, detections with a score of at least {first.score:.3f}<br>
<strong>{names[1]}</strong>, detections with a score of at least {second.score:.3f}</p>
<p>Each score is the one with which that detector's F1 over all {len(index)} validation images is highest. A detection is
right if COCO's matching gives it an object of its class with an IoU of at least {IOU:g}; what finds a crowd counts
neither way. The F1 of an image is 2·found / (2·found + missed + false), and 1 where there is nothing to find and nothing
was found. The two disagree by the difference of their F1; of equal differences that image comes first in which more
objects were found by only one of them, then that which is earlier in the data. Images without a difference are left out.</p>
<p>Marks: <strong>✓</strong> green, right; <strong>✗</strong> red, wrong; <strong>dashed, “missed”</strong>, yellow: an
object that was not found. Annotated objects are blue, crowds are grey.</p>
{figures}
</body>
</html>
"""


def _figure(place: int, image: int, groups: Sequence[Answers]) -> str:
    first, second = groups
    index = first.matched.index
    lines = [
        f"<strong>{place}. Image {escape(str(index.image_id(image)))}</strong>: "
        f"F1 differs by {abs(first.counts.f1[image] - second.counts.f1[image]):.2f}",
        *(f"{letter}: {_counted(one, image)}" for letter, one in zip("AB", groups, strict=True)),
        f"Found by A alone: {_alone(first, second, image)}. Found by B alone: {_alone(second, first, image)}.",
    ]
    pictures = (
        ("annotated", annotated_picture(index, image)),
        ("A", matched_picture(first, image)),
        ("B", matched_picture(second, image)),
    )
    cells = "\n".join(f'<div>{name}<br><img alt="{name}" src="{_data_uri(one)}"></div>' for name, one in pictures)
    return f'<figure>\n<figcaption>{"<br>".join(lines)}</figcaption>\n<div class="row">\n{cells}\n</div>\n</figure>'


def _counted(answers: Answers, image: int) -> str:
    counts = answers.counts
    found, missed, false = (int(numbers[image]) for numbers in (counts.found, counts.missed, counts.false))
    return f"F1 {counts.f1[image]:.2f}, {found} of {found + missed} found, {missed} missed, {false} false"


def _alone(first: Answers, second: Answers, image: int) -> str:
    found = found_by_first_alone(first, second, image)
    return ", ".join(f"{number} {escape(name)}" for name, number in found.items()) or "nothing"


def _data_uri(picture: np.ndarray) -> str:
    """A uint8 RGB picture [H, W, 3] as a JPEG inside the page."""
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode()}"
