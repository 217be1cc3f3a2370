"""Question 3, a to c: a convolution and ReLU by hand, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional

from detector.arithmetic.gradients import (
    convolution,
    convolution_gradients,
    input_gradient_by_full_correlation,
    relu,
    relu_gradient,
)
from detector.option_check import is_finite_number
from detector.seminar.answer import Answer, Condition, Value

Matrix = Sequence[Sequence[float]]

X: Matrix = ((0, -1, 3), (2, 0.5, 1))
W: Matrix = ((0, 1), (1, 0.5))
BEFORE_RELU: Matrix = ((0, -1), (2, 0.5))
DIGITS = 9
"""Decimals in which two float64 results are compared."""
LARGEST = 64
"""Rows or columns of a matrix that is worked through term by term."""


def forward(x: Matrix = X, w: Matrix = W) -> Answer:
    """3a"""
    image, kernel = _tensor(x, "x"), _tensor(w, "w")
    output = convolution(image[None], kernel[None, None])[0]
    by_torch = functional.conv2d(image[None, None], kernel[None, None])[0, 0]
    places = [(i, j) for i in range(output.shape[0]) for j in range(output.shape[1])]
    terms = [_products(image, kernel, i, j) for i, j in places]
    result = _values(output[0]) if len(output) == 1 else _matrix(output)
    return Answer(
        "3a",
        f"o = x * W with x = {rows(image)}, W = {rows(kernel)}, stride 1, no padding",
        f"o = {rows(output)}",
        (Condition("o by the sum = by conv2d", _matrix(output), "=", _matrix(by_torch)),),
        "o[i, j] = Σ_u Σ_v W[u, v] · x[i + u, j + v]",
        "; ".join(terms),
        tuple(
            f"o[{i}, {j}]: W lies on rows {i} to {i + kernel.shape[0] - 1} and columns {j} to {j + kernel.shape[1] - 1}: "
            f"{term} = {_number(output[i, j])}"
            for (i, j), term in zip(places, terms, strict=True)
        ),
        result,
    )


def _products(x: Tensor, w: Tensor, i: int, j: int) -> str:
    places = ((u, v) for u in range(w.shape[0]) for v in range(w.shape[1]))
    return " + ".join(f"{_number(w[u, v])}·{_number(x[i + u, j + v])}" for u, v in places)


def input_gradient(x: Matrix = X, w: Matrix = W, output_gradient: Matrix | None = None) -> Answer:
    """3b: by the symbols that every pixel collects, and as a full correlation with the kernel turned."""
    image, kernel = _tensor(x, "x"), _tensor(w, "w")
    size = (image.shape[0] - kernel.shape[0] + 1, image.shape[1] - kernel.shape[1] + 1)
    if min(size) < 1:
        raise ValueError(f"w of {kernel.shape[0]} × {kernel.shape[1]} is larger than x")
    given = (
        torch.ones(size, dtype=torch.float64)
        if output_gradient is None
        else _tensor(output_gradient, "output_gradient")
    )
    if given.shape != size:
        raise ValueError(f"output_gradient of {given.shape[0]} × {given.shape[1]}: o has {size[0]} × {size[1]}")
    gradient = convolution_gradients(image[None], kernel[None, None], given[None]).inputs[0]
    symbols = symbolic_gradient((image.shape[0], image.shape[1]), (kernel.shape[0], kernel.shape[1]))
    weighted = torch.zeros_like(image)
    for p, row in enumerate(symbols):
        for q, terms in enumerate(row):
            for (u, v), (i, j) in terms:
                weighted[p, q] += kernel[u, v] * given[i, j]
    turned = torch.rot90(kernel, 2)
    other = torch.arange(1, given.numel() + 1, dtype=torch.float64).reshape(size)
    """1, 2, ...: with equal gradients a symmetric mistake would not show."""
    turns = turns_that_fit(kernel, other, image)
    unturned = _full(kernel.flip(0, 1), other, image)
    right = _by_autograd(image, kernel, other)
    jacobian = symbol_text(symbols)
    return Answer(
        "3b",
        f"∂L/∂x for ∂L/∂o = {rows(given)}, W = {rows(kernel)}",
        f"∂L/∂x = {rows(gradient)}; with all of ∂L/∂o = 1 it is the matrix {jacobian}: each pixel collects the weights that "
        f"met it. It is the full correlation of ∂L/∂o with the kernel turned by {_degrees(turns)}",
        (
            Condition(
                "∂L/∂x by the sum = by autograd", _matrix(gradient), "=", _matrix(_by_autograd(image, kernel, given))
            ),
            Condition(
                "∂L/∂x by the symbols = by autograd",
                _matrix(weighted),
                "=",
                _matrix(_by_autograd(image, kernel, given)),
            ),
            Condition(
                f"full correlation with the kernel turned by {_degrees(turns)} = autograd",
                _matrix(_full(kernel, given, image)),
                "=",
                _matrix(_by_autograd(image, kernel, given)),
            ),
            Condition(
                "degrees by which a kernel can be turned so that the full correlation is the gradient",
                turns,
                "=",
                (180,) if kernel.numel() > 1 else (0, 90, 180, 270),
            ),
            Condition(
                f"for ∂L/∂o = {rows(other)}: full correlation, turned = autograd",
                _matrix(_full(kernel, other, image)),
                "=",
                _matrix(right),
            ),
        ),
        "∂L/∂x[p, q] = Σ_i Σ_j W[p − i, q − j] · ∂L/∂o[i, j]",
        " + ".join(
            f"{_number(given[i, j])} · {rows(_placed(kernel, image, i, j))}"
            for i in range(size[0])
            for j in range(size[1])
        ),
        (
            *(
                f"o[{i}, {j}] has seen x through W placed at ({i}, {j}): it hands back ∂L/∂o[{i}, {j}] · "
                f"{rows(_placed(kernel, image, i, j))}"
                for i in range(size[0])
                for j in range(size[1])
            ),
            f"a pixel seen by several outputs adds up what they hand back; in symbols, for ∂L/∂o = 1: {jacobian}",
            f"the same as a correlation: ∂L/∂o with zeros around it, {kernel.shape[0] - 1} above and below, "
            f"{kernel.shape[1] - 1} left and right, correlated with W turned by {_degrees(turns)}: {rows(turned)}",
            f"for ∂L/∂o = {rows(other)} autograd gives {rows(right)}; sliding it over W as it stands gives {rows(unturned)}, "
            + ("which is wrong" if _matrix(unturned) != _matrix(right) else "the same, because this W is symmetric"),
        ),
        _matrix(gradient),
        sources=("Dumoulin & Visin 2016, A guide to convolution arithmetic for deep learning, section 4",),
    )


Terms = list[tuple[tuple[int, int], tuple[int, int]]]


def symbolic_gradient(size: tuple[int, int], kernel: tuple[int, int]) -> list[list[Terms]]:
    """For each pixel of the input the ((u, v), (i, j)) for which W[u, v] carried it into o[i, j]."""
    symbols: list[list[Terms]] = [[[] for _ in range(size[1])] for _ in range(size[0])]
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            for i in range(size[0] - kernel[0] + 1):
                for j in range(size[1] - kernel[1] + 1):
                    symbols[i + u][j + v].append(((u, v), (i, j)))
    return symbols


def symbol_text(symbols: list[list[Terms]]) -> str:
    """[[w11, w11 + w12, w12], ...], counted from 1 as on paper."""
    lines = (", ".join(" + ".join(f"w{u + 1}{v + 1}" for (u, v), _ in terms) for terms in row) for row in symbols)
    return "[" + ", ".join(f"[{line}]" for line in lines) + "]"


def turns_that_fit(kernel: Tensor, output_gradient: Tensor, image: Tensor) -> tuple[int, ...]:
    """The angles, multiples of 90°, by which the kernel can be turned so that the full correlation is the gradient.

    Tried with a kernel of different numbers, of the same shape: one that is symmetric would fit at other angles too.
    """
    distinct = torch.arange(1, kernel.numel() + 1, dtype=torch.float64).reshape(kernel.shape)
    fitting = []
    for quarter in range(4):
        turned = torch.rot90(distinct, quarter)
        if turned.shape != kernel.shape:
            continue
        # the function turns its kernel itself: what it gets here is turned back
        full = _full(turned.flip(0, 1), output_gradient, image)
        if _matrix(full) == _matrix(_by_autograd(image, distinct, output_gradient)):
            fitting.append(90 * quarter)
    return tuple(fitting)


def _degrees(turns: tuple[int, ...]) -> str:
    return " or ".join(f"{angle}°" for angle in turns) or "no angle"


def _full(kernel: Tensor, output_gradient: Tensor, image: Tensor) -> Tensor:
    size = (image.shape[0], image.shape[1])
    return input_gradient_by_full_correlation(kernel[None, None], output_gradient[None], size)[0]


def _by_autograd(image: Tensor, kernel: Tensor, output_gradient: Tensor) -> Tensor:
    x = image.clone().requires_grad_()
    output = functional.conv2d(x[None, None], kernel[None, None])[0, 0]
    return torch.autograd.grad(output, x, output_gradient)[0]


def _placed(kernel: Tensor, image: Tensor, i: int, j: int) -> Tensor:
    share = torch.zeros_like(image)
    share[i : i + kernel.shape[0], j : j + kernel.shape[1]] = kernel
    return share


def relu_both_ways(x: Matrix = BEFORE_RELU, output_gradient: Matrix | None = None) -> Answer:
    """3c: the chain rule's product f′(x) ⊙ g."""
    before = _tensor(x, "x")
    given = torch.ones_like(before) if output_gradient is None else _tensor(output_gradient, "output_gradient")
    if given.shape != before.shape:
        raise ValueError(
            f"output_gradient of {given.shape[0]} × {given.shape[1]}: x has {before.shape[0]} × {before.shape[1]}"
        )
    output, derivative = relu(before), relu_gradient(before, torch.ones_like(before))
    gradient = derivative * given
    leaf = before.clone().requires_grad_()
    by_torch = functional.relu(leaf)
    (by_autograd,) = torch.autograd.grad(by_torch, leaf, given)
    at_zero = relu_gradient(torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)).item()
    zero = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    (zero_by_autograd,) = torch.autograd.grad(functional.relu(zero).sum(), zero)
    return Answer(
        "3c",
        f"ReLU of x = {rows(before)}, and ∂L/∂x for g = ∂L/∂f = {rows(given)}",
        f"f(x) = {rows(output)}; ∂L/∂x = f′(x) ⊙ g = {rows(derivative)} ⊙ {rows(given)} = {rows(gradient)}",
        (
            Condition("f(x) = by torch's relu", _matrix(output), "=", _matrix(by_torch.detach())),
            Condition("f′(x) ⊙ g = ∂L/∂x by autograd", _matrix(gradient), "=", _matrix(by_autograd)),
            Condition("f′(0) = by autograd", at_zero, "=", zero_by_autograd.item()),
        ),
        "f(x) = max(0, x); f′(x) = 1 where x > 0, else 0; ∂L/∂x = f′(x) ⊙ ∂L/∂f",
        "; ".join(f"max(0, {_number(value)})" for value in before.flatten()),
        (
            f"f(x) = {rows(output)}",
            f"f′(x) = {rows(derivative)}: 1 where x is positive, 0 where it is negative",
            f"at 0 there is no derivative; by convention f′(0) = {at_zero:g}",
            f"g = ∂L/∂f = {rows(given)}",
            f"∂L/∂x = f′(x) ⊙ g, entry by entry: {rows(gradient)}",
        ),
        (_matrix(output), _matrix(gradient)),
    )


def rows(tensor: Tensor) -> str:
    """[[0, −1], [2, 0.5]]"""
    return "[" + ", ".join("[" + ", ".join(map(_number, row)) + "]" for row in tensor) + "]"


def _tensor(values: Matrix, name: str) -> Tensor:
    rows_given = all(isinstance(row, Sequence) and not isinstance(row, str) for row in values)
    if not rows_given or len({len(row) for row in values}) != 1 or not all(map(is_finite_number, chain(*values))):
        raise ValueError(f"{name}: rows of numbers, of one length, are expected, as [[1,2],[3,4]]")
    if not 0 < len(values[0]) <= LARGEST or len(values) > LARGEST:
        raise ValueError(f"{name}: from 1 to {LARGEST} rows and columns")
    return torch.tensor(values, dtype=torch.float64)


def _values(tensor: Tensor) -> Value:
    return tuple(round(value, DIGITS) + 0.0 for value in tensor.tolist())


def _matrix(tensor: Tensor) -> Value:
    return tuple(_values(row) for row in tensor)


def _number(value: Tensor) -> str:
    return f"{value.item() + 0.0:g}".replace("-", "−")
