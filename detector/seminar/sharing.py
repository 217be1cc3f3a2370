"""Question 2: what sharing weights gives, and where it does not help."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from matplotlib.axes import Axes
from torch import Tensor, nn

from detector.arithmetic.equivariance import (
    LocallyConnected2d,
    SharingResult,
    shift_equivariance_error,
    where_sharing_helps,
)
from detector.seminar.answer import Claim
from detector.seminar.drawing import new_figure, save

SIDE, FILTERS, KERNEL = 24, 4, 5
SHIFTS = range(7)
"""Pixels, down and to the right: so far the object stays inside."""
ROUNDED = 1e-12
"""Largest difference of float64 sums that counts as rounding."""
IMAGES = (8, 16, 32, 64, 128)
"""Training images."""


def what_it_gives(folder: Path) -> Claim:
    """2a"""
    torch_layers, image = _layers(), _object()
    parameters = {name: sum(one.numel() for one in layer.parameters()) for name, layer in torch_layers.items()}
    errors = {
        name: [shift_equivariance_error(layer, image, (shift, shift), margin=2) for shift in SHIFTS]
        for name, layer in torch_layers.items()
    }
    shared, strided, own, full = torch_layers
    return Claim(
        "2a",
        "what weight sharing gives",
        "fewer parameters, and translation equivariance: an object that moves moves its features along",
        f"layers with {KERNEL} × {KERNEL} filters and a fully connected one, from {SIDE} × {SIDE} × 1 to {FILTERS} channels; "
        f"an object is moved by 0 to {SHIFTS[-1]} pixels: ‖f(Sx) − S f(x)‖ / ‖f(x)‖",
        tuple(
            (
                name,
                f"{parameters[name]:9,} parameters; moved by 1 and 2 pixels its features differ by {_two(errors[name])}",
            )
            for name in torch_layers
        ),
        "the convolution has the fewest parameters, and no error but rounding; with stride 2 that holds for even shifts alone",
        parameters[shared] < parameters[own] < parameters[full]
        and max(errors[shared]) < ROUNDED
        and max(errors[strided][::2]) < ROUNDED < 0.1 < min(errors[strided][1::2])
        and min(*errors[own][1:], *errors[full][1:]) > 0.1,
        _draw_equivariance(folder, parameters, errors, image, (torch_layers[shared], torch_layers[own])),
    )


def _two(errors: list[float]) -> str:
    return " and ".join(f"{error:.2g}" for error in errors[1:3])


def _layers() -> dict[str, nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = {
            "convolution": nn.Conv2d(1, FILTERS, KERNEL, padding=KERNEL // 2),
            "convolution, stride 2": nn.Conv2d(1, FILTERS, KERNEL, stride=2, padding=KERNEL // 2),
            "locally connected": LocallyConnected2d(1, FILTERS, (SIDE, SIDE), (KERNEL, KERNEL), padding=KERNEL // 2),
            "fully connected": nn.Sequential(
                nn.Flatten(), nn.Linear(SIDE**2, FILTERS * SIDE**2), nn.Unflatten(1, (FILTERS, SIDE, SIDE))
            ),
        }
    return {name: layer.double() for name, layer in layers.items()}


def _object() -> Tensor:
    """A cross in the middle of nothing: [1, 1, 24, 24]."""
    image = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64)
    image[..., 7:16, 10:13] = image[..., 10:13, 7:16] = 1
    return image


def _draw_equivariance(
    folder: Path,
    parameters: Mapping[str, int],
    errors: Mapping[str, list[float]],
    image: Tensor,
    shown: tuple[nn.Module, nn.Module],
) -> Path:
    figure = new_figure(13, 5)
    panels: dict[str, Axes] = figure.subplot_mosaic(
        [["bars", "bars", "curves", "curves", f"{row} before", f"{row} after"] for row in ("image", "shared", "own")]
    )
    bars = panels["bars"].barh(list(parameters), list(parameters.values()))
    panels["bars"].bar_label(bars, [f"{number:,}" for number in parameters.values()], padding=3)
    panels["bars"].set_xscale("log")
    panels["bars"].set_xlim(10, 3e8)
    panels["bars"].invert_yaxis()
    panels["bars"].set_title("parameters")
    for (name, values), marker in zip(errors.items(), "osD^", strict=True):
        panels["curves"].plot(list(SHIFTS), values, marker=marker, label=name, alpha=0.8)
    panels["curves"].set_xlabel("shift in pixels, down and right")
    panels["curves"].set_title("‖f(Sx) − S f(x)‖ / ‖f(x)‖")
    panels["curves"].legend(fontsize=8)
    panels["curves"].grid(alpha=0.3)
    moved = image.roll((SHIFTS[-1], SHIFTS[-1]), dims=(2, 3))
    with torch.no_grad():
        rows = {
            "image": (image, moved),
            "shared": (shown[0](image), shown[0](moved)),
            "own": (shown[1](image), shown[1](moved)),
        }
    titles = {"image": "image", "shared": "convolution", "own": "locally connected"}
    for row, both in rows.items():
        for when, values in zip(("before", "after"), both, strict=True):
            axes = panels[f"{row} {when}"]
            axes.imshow(values[0, 0].numpy(), vmin=both[0][0, 0].min().item(), vmax=both[0][0, 0].max().item())
            axes.set_title(f"{titles[row]}{', moved' * (when == 'after')}", fontsize=9)
            axes.set_xticks([])
            axes.set_yticks([])
    return save(figure, folder, "2a")


def where_it_does_not_help(folder: Path) -> Claim:
    """2b"""
    own, same = (
        {images: where_sharing_helps(position_dependent, images) for images in IMAGES}
        for position_dependent in (True, False)
    )
    fewest, most = IMAGES[0], IMAGES[-1]
    return Claim(
        "2b",
        "where weight sharing does not help",
        "where the same pattern means something else at another place: images that are aligned, such as faces "
        "(eyes above, mouth below)",
        "learn the responses of 5 × 5 filters on 10 × 10 images, once with another filter at each position and, as a "
        "control, with one filter for all; error on new images as a share of the variance",
        (
            (f"a filter for each position, {most} images: convolution", f"{own[most].convolution:.3g}"),
            (f"a filter for each position, {most} images: locally connected", f"{own[most].locally_connected:.3g}"),
            (f"one filter for all, {fewest} images: convolution", f"{same[fewest].convolution:.3g}"),
            (f"one filter for all, {fewest} images: locally connected", f"{same[fewest].locally_connected:.3g}"),
        ),
        "with a filter for each position sharing cannot learn it (> 0.9) and weights of one's own can (< 0.01); "
        "with one filter few images suffice for sharing (< 0.01) and not without (> 0.5)",
        own[most].convolution > 0.9
        and own[most].locally_connected < 0.01
        and same[fewest].convolution < 0.01
        and same[fewest].locally_connected > 0.5,
        _draw_sharing(folder, {"a filter for each position": own, "one filter for all positions": same}),
    )


def _draw_sharing(folder: Path, tasks: Mapping[str, Mapping[int, SharingResult]]) -> Path:
    figure = new_figure(10, 4)
    panels = figure.subplots(1, len(tasks), sharey=True)
    for axes, (title, results) in zip(panels, tasks.items(), strict=True):
        axes.plot(list(results), [one.convolution for one in results.values()], "o-", label="convolution: shared")
        axes.plot(
            list(results),
            [one.locally_connected for one in results.values()],
            "s-",
            label="locally connected: not shared",
        )
        axes.axhline(1, color="0.5", linestyle=":", label="knows nothing")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(list(results), [str(images) for images in results])
        axes.set_title(title)
        axes.set_xlabel("training images")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("error on new images / variance")
    panels[0].legend(fontsize=8)
    return save(figure, folder, "2b")
