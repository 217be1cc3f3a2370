"""`report.html`: what a detector gets right and wrong, as one file that a browser opens without anything else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detector.config.commands import Evaluation
from detector.data.index import Index
from detector.evaluation.analysis import ANALYSIS, leave_analysis
from detector.evaluation.analysis.label_errors import SecondLook
from detector.evaluation.page.content import MOST_DETECTIONS, page_content
from detector.evaluation.page.pictures import embedded_pictures, links
from detector.evaluation.results import FlatResults
from detector.output import write_text
from detector.visualization.page.shell import Figure, Section, own_text, page

REPORT = "report.html"
REPORT_FILES = (ANALYSIS, REPORT)
SCRIPTS = (
    "evaluation",
    "counting",
    "threshold",
    "class_table",
    "curves",
    "confusion",
    "error_kinds",
    "calibration",
    "subsets",
    "image_marks",
    "images",
    "label_errors",
    "start",
)
"""The page's own scripts, in the order in which they stand in it."""
SECTIONS = (
    Section("classes", "Classes"),
    Section("curves", "Curves"),
    Section("confusion", "Confusion"),
    Section("kinds", "Error kinds"),
    Section("calibration", "Calibration"),
    Section("subsets", "Where AP is lost"),
    Section("images", "Images"),
    Section("labels", "Suspected label errors"),
)


def leave_report(
    folder: Path,
    index: Index,
    results: FlatResults,
    metrics: Mapping[str, Any],
    options: Evaluation,
    split: str,
    model: str | None,
    look: SecondLook | None = None,
) -> dict[str, Any] | None:
    """Writes `analysis.json` and `report.html` into the folder (`REPORT_FILES`) and returns what the first one holds.

    None, and neither of them, where `options.report` is off.

    Args:
        folder: of `metrics.json`.
        index: all images that were measured.
        results: the detections.
        metrics: what `detector.evaluation.evaluate.evaluate` returned for them.
        options: how detections are measured and shown.
        split: name of the images.
        model: the checkpoint, or the file of detections.
        look: the detector in another view of images, which says what suspected label errors are stable.
    """
    if not options.report:
        return None
    analysis = leave_analysis(folder, index, results, metrics, options.engine, split, model, look)
    write_page(folder, analysis, index, options.report_mb)
    return analysis


def write_page(folder: Path, analysis: Mapping[str, Any], index: Index, pictures_mb: float) -> None:
    """Writes `report.html` into the folder.

    Args:
        folder: of `metrics.json`.
        analysis: what `write_analysis` returns.
        index: the images that were measured.
        pictures_mb: how many MB of pictures the page may hold; without them it has boxes on empty ground.
    """
    write_text(folder / REPORT, evaluation_page(analysis, index, folder, pictures_mb))


def evaluation_page(analysis: Mapping[str, Any], index: Index, folder: Path, pictures_mb: float) -> str:
    """The page as HTML; the arguments are those of `write_page`."""
    content = page_content(analysis)
    pictures, unreadable = embedded_pictures(analysis, index, pictures_mb)
    drawn = index.painter is not None
    content["pictures"] = {str(image): uri for image, uri in pictures.items()}
    content["links"] = [""] * len(index) if drawn else links(index.files.tolist(), folder.resolve())
    content["turned"] = not index.as_stored
    title = " on ".join(filter(None, [analysis["model"] or "Evaluation", analysis["split"]]))
    return page(
        title,
        SECTIONS,
        content,
        [own_text(__package__, f"{name}.js") for name in SCRIPTS],
        lines=_lines(analysis, content, index, pictures, unreadable),
        figures=_figures(analysis),
        styles=[own_text(__package__, "page.css")],
        keys="f goes to the images; arrow keys walk through tables, matrices, curves and images, Enter opens",
        links_images=not drawn,
    )


def _lines(
    analysis: Mapping[str, Any],
    content: Mapping[str, Any],
    index: Index,
    pictures: Mapping[int, str],
    unreadable: int,
) -> list[str]:
    classes = analysis["classes"]
    objects = sum(classes["objects"])
    ignored = len(index.annotations) - objects
    lines = [
        f"{len(index):,} images with {objects:,} objects of {len(classes['name']):,} classes"
        + (f" and {ignored:,} that are ignored (crowds, difficult ones)" if ignored else "")
        + f"; {sum(classes['detections']):,} detections that COCO looks at"
        + (
            f", without {analysis['beyond_100']:,} beyond the best 100 of a class in an image"
            if analysis["beyond_100"]
            else ""
        )
        + "."
    ]
    if content["left_out"]:
        lines.append(
            f"This page holds the {MOST_DETECTIONS:,} best detections at most: {content['left_out']:,} with a score below "
            f"{content['lowest_score']:g} are left out, where its threshold begins. Curves, AP, error kinds and calibration "
            "are of all."
        )
    absent = len(index) - len(pictures)
    if absent:
        inside = (
            f"{len(pictures):,} pictures are inside the page, the costliest images first"
            if pictures
            else "No picture is inside the page"
        )
        rest = f"the other {absent:,}" if pictures else "pictures"
        come = "are left out" if index.painter is not None else "are read from their files where the page was written"
        lines.append(
            f"{inside}; {rest} {come}." + (f" {unreadable:,} could not be read when it was made." if unreadable else "")
        )
    return lines


def _figures(analysis: Mapping[str, Any]) -> list[Figure]:
    metrics = analysis["metrics"]
    return [
        Figure(_number(metrics["AP"]), "AP", _between(analysis["ap_interval"])),
        Figure(_number(metrics["AP50"]), "AP50", _between(analysis["ap50_interval"])),
        Figure(_number(metrics["AP75"]), "AP75", _between(analysis["ap75_interval"])),
        Figure(_number(metrics["APs"]), "AP small", "area < 32² px"),
        Figure(_number(metrics["APm"]), "AP medium", "area < 96² px"),
        Figure(_number(metrics["APl"]), "AP large", "area ≥ 96² px"),
        Figure(_number(metrics["AR100"]), "AR100", "mean recall"),
        Figure(_number(analysis["olrp"]["olrp"]), "oLRP", "lower is better"),
    ]


def _between(interval: Mapping[str, Any] | None) -> str:
    if interval is None:
        return "no interval"
    return f"{100 * interval['confidence']:.0f} %: {_number(interval['low'])} to {_number(interval['high'])}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
