"""Question 3, a to c: a convolution and ReLU by hand, forward and backward."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from detector.arithmetic.gradients import convolution, convolution_gradients, relu, relu_gradient
from detector.seminar.answer import Answer, Value

X = torch.tensor([[0.0, -1.0, 3.0], [2.0, 0.5, 1.0]], dtype=torch.float64)
W = torch.tensor([[0.0, 1.0], [1.0, 0.5]], dtype=torch.float64)
BEFORE_RELU = torch.tensor([[0.0, -1.0], [2.0, 0.5]], dtype=torch.float64)


def forward() -> Answer:
    """3a"""
    output = convolution(X[None], W[None, None])[0, 0]
    return Answer(
        "3a",
        f"o = x * W with x = {rows(X)}, W = {rows(W)}, stride 1, no padding",
        "o[j] = Σ_u Σ_v W[u, v] · x[u, j + v]",
        "; ".join(_products(j) for j in range(2)),
        values(output),
        (1.25, 4.0),
        "torch.nn.functional.conv2d",
        values(functional.conv2d(X[None, None], W[None, None])[0, 0, 0]),
        tuple(
            f"o[{j}]: W on columns {j} and {j + 1} of x: {_products(j)} = {_number(output[j])}"
            for j in range(len(output))
        ),
    )


def _products(j: int) -> str:
    return " + ".join(f"{_number(W[u, v])}·{_number(X[u, j + v])}" for u in range(2) for v in range(2))


def input_gradient() -> Answer:
    """3b"""
    output_gradient = torch.ones(1, 1, 2, dtype=torch.float64)
    gradient = convolution_gradients(X[None], W[None, None], output_gradient).inputs[0]
    x = X.clone().requires_grad_()
    functional.conv2d(x[None, None], W[None, None]).sum().backward()
    assert x.grad is not None
    shares = [torch.zeros_like(X) for _ in range(2)]
    for j, share in enumerate(shares):
        share[:, j : j + 2] = W
    return Answer(
        "3b",
        "∂L/∂x for ∂L/∂o = [1, 1]",
        "∂L/∂x[p, q] = Σ_j W[p, q − j] · ∂L/∂o[j]",
        f"1 · {rows(shares[0])} + 1 · {rows(shares[1])}",
        matrix(gradient),
        ((0.0, 1.0, 1.0), (1.0, 1.5, 0.5)),
        "torch.autograd",
        matrix(x.grad),
        (
            *(
                f"o[{j}] has seen columns {j} and {j + 1} through W: it hands back ∂L/∂o[{j}] · W there: {rows(share)}"
                for j, share in enumerate(shares)
            ),
            f"where both have seen a pixel their shares add up: {rows(gradient)}",
            "the same as a full correlation: [1, 1] padded by one on all sides, with W turned by 180°",
        ),
    )


def relu_both_ways() -> Answer:
    """3c"""
    output = relu(BEFORE_RELU)
    gradient = relu_gradient(BEFORE_RELU, torch.ones_like(BEFORE_RELU))
    x = BEFORE_RELU.clone().requires_grad_()
    y = functional.relu(x)
    y.sum().backward()
    assert x.grad is not None
    return Answer(
        "3c",
        f"ReLU of {rows(BEFORE_RELU)} and its gradient",
        "max(0, x); 1 where x > 0, else 0",
        "; ".join(f"max(0, {_number(value)})" for value in BEFORE_RELU.flatten()),
        (matrix(output), matrix(gradient)),
        (((0.0, 0.0), (2.0, 0.5)), ((0.0, 0.0), (1.0, 1.0))),
        "torch.nn.functional.relu and torch.autograd",
        (matrix(y.detach()), matrix(x.grad)),
        (
            "what is negative becomes 0 and learns nothing: its gradient is 0",
            "at 0 there is no derivative; 0 is taken, as PyTorch does",
        ),
    )


def rows(tensor: Tensor) -> str:
    """[[0, −1], [2, 0.5]]"""
    return "[" + ", ".join("[" + ", ".join(map(_number, row)) + "]" for row in tensor) + "]"


def values(tensor: Tensor) -> Value:
    """A vector as plain numbers."""
    return tuple(tensor.tolist())


def matrix(tensor: Tensor) -> Value:
    """A matrix as plain numbers."""
    return tuple(values(row) for row in tensor)


def _number(value: Tensor) -> str:
    return f"{value.item():g}".replace("-", "−")
