"""The pixels of a drawn scene: textured background, strokes and spots without meaning, anti-aliased shapes."""

from __future__ import annotations

import cv2
import numpy as np

_SUPERSAMPLE = 4
"""Shapes are filled on a grid this much finer and averaged down: their edges lie about 1/8 pixel outside."""
_LEAST_CONTRAST = 30.0
"""Grey levels, in the channel that differs most, between a shape and the mean of what is behind it."""


class ScenePainter:
    """Paints one scene; every random choice comes from `generator`."""

    def __init__(self, generator: np.random.Generator, size: int) -> None:
        self.generator = generator
        self.size = size

    def paint(self, outlines: list[np.ndarray]) -> np.ndarray:
        """Shapes with the given outlines (float [P, 2], continuous pixels, far to near): uint8 [size, size, 3] RGB."""
        background = self._background()
        self._spots(background)
        canvas = _to_uint8(background)
        self._strokes(canvas)
        for outline in outlines:
            self._shape(canvas, outline)
        return self._with_grain(canvas)

    def _background(self) -> np.ndarray:
        """Noise at three scales around one colour, often with stripes: float32 [size, size, 3]."""
        generator, size = self.generator, self.size
        coarse = np.full((1, 1, 3), generator.uniform(40, 215, 3), dtype=np.float32)
        for cells, strength in ((2, 40), (9, 24), (40, 14)):  # a slope, clouds, a rough surface
            noise = generator.standard_normal((cells, cells, 3), dtype=np.float32)
            noise = 0.5 * noise + 0.5 * noise[..., :1]  # brightness varies more than hue
            coarse = cv2.resize(coarse, (cells, cells)) + noise * (strength * generator.random(dtype=np.float32))
        canvas = cv2.resize(coarse, (size, size))
        if generator.random() < 0.4:
            wave = _plane_wave(size, generator.uniform(0, np.pi), generator.uniform(6, size / 4), generator.random())
            canvas += wave[..., None] * generator.uniform(-30, 30, 3).astype(np.float32)
        return canvas

    def _spots(self, canvas: np.ndarray) -> None:
        """Soft round spots: they have a circle's place and none of its edge."""
        for _ in range(int(self.generator.integers(0, 4))):
            spread = self.generator.uniform(0.02, 0.12) * self.size
            x, y = self.generator.uniform(0, self.size, 2)
            reach = int(3 * spread)
            left, top = max(int(x) - reach, 0), max(int(y) - reach, 0)
            patch = canvas[top : int(y) + reach, left : int(x) + reach]
            bell_x = np.exp(-0.5 * ((left + np.arange(patch.shape[1], dtype=np.float32) - x) / spread) ** 2)
            bell_y = np.exp(-0.5 * ((top + np.arange(patch.shape[0], dtype=np.float32) - y) / spread) ** 2)
            bell = np.outer(bell_y, bell_x).astype(np.float32)
            patch += bell[..., None] * self.generator.uniform(-80, 80, 3).astype(np.float32)

    def _strokes(self, canvas: np.ndarray) -> None:
        """Open lines, bent once or twice."""
        for _ in range(int(self.generator.integers(0, 6))):
            points = self.generator.uniform(0, self.size, (int(self.generator.integers(2, 5)), 2))
            if self.generator.random() < 0.5:  # half of them are as short as the shapes are small
                points = points[0] + (points - points[0]) * 0.15
            colour = self.generator.uniform(0, 255, 3).tolist()
            thickness = int(self.generator.integers(1, 4))
            line = np.rint(points * 16).astype(np.int32)  # 4 fractional bits
            cv2.polylines(canvas, [line], False, colour, thickness, cv2.LINE_AA, shift=4)

    def _shape(self, canvas: np.ndarray, outline: np.ndarray) -> None:
        low = np.floor(outline.min(axis=0)).astype(int)
        high = np.minimum(np.ceil(outline.max(axis=0)).astype(int), self.size)
        patch = canvas[low[1] : high[1], low[0] : high[0]]
        mask = coverage(outline - low, (patch.shape[0], patch.shape[1]))
        behind = np.array(cv2.mean(patch, mask)[:3])
        colour = self.generator.uniform(0, 255, 3)
        if np.abs(colour - behind).max() < _LEAST_CONTRAST:
            colour = behind + np.where(behind < 128, 1, -1) * self.generator.uniform(_LEAST_CONTRAST, 100, 3)
        shade = np.linspace(-1, 1, patch.shape[1], dtype=np.float32)[None, :, None] * self.generator.uniform(-25, 25)
        painted = patch + ((colour + shade).astype(np.float32) - patch) * (mask * np.float32(1 / 255))[..., None]
        patch[:] = _to_uint8(painted)

    def _with_grain(self, canvas: np.ndarray) -> np.ndarray:
        """A camera's noise: uniform, up to ±12 grey levels."""
        grain = np.frombuffer(self.generator.bytes(canvas.size), dtype=np.uint8).reshape(canvas.shape)
        strength = self.generator.uniform(0, 12 / 128)
        return cv2.addWeighted(canvas, 1.0, grain, strength, -128 * strength)


def coverage(outline: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """How much of each pixel lies inside a polygon [P, 2] in continuous pixels: uint8 [height, width], 255 = all."""
    height, width = size
    fine = np.zeros((height * _SUPERSAMPLE, width * _SUPERSAMPLE), dtype=np.uint8)
    # 4 fractional bits; OpenCV's whole numbers are pixel centres
    cv2.fillPoly(fine, [np.rint((outline * _SUPERSAMPLE - 0.5) * 16).astype(np.int32)], 255, shift=4)
    return cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)


def _to_uint8(values: np.ndarray) -> np.ndarray:
    """Float32 grey levels, clipped in place and truncated."""
    return np.clip(values, 0, 255, out=values).astype(np.uint8)


def _plane_wave(size: int, angle: float, wavelength: float, phase: float) -> np.ndarray:
    """cos of a plane wave, float32 [size, size], from two outer products instead of size² cosines."""
    pixels = np.arange(size) * (2 * np.pi / wavelength)
    along_x = np.exp(1j * pixels * np.cos(angle)).astype(np.complex64)
    along_y = np.exp(1j * (pixels * np.sin(angle) + 2 * np.pi * phase)).astype(np.complex64)
    return np.outer(along_y.real, along_x.real) - np.outer(along_y.imag, along_x.imag)
