"""The layers that backbones, necks and heads are made of; activations, norms and initialisations by name."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from detector.errors import OptionError

ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "mish", "none")
NORMS = ("batch", "group", "none")
INITIALISATIONS = ("kaiming", "xavier")

LEAKY_SLOPE = 0.1  # Darknet's; torch's own default is 0.01

# A batch of a detector is small: statistics averaged over about 1 / 0.03 = 33 steps are steadier than over torch's 10.
NORM_MOMENTUM = 0.03
# A letterbox's constant border gives channels of almost no variance; 1e-5 would blow their rounding errors up in fp16.
NORM_EPSILON = 1e-3


def make_activation(name: str) -> nn.Module:
    """The activation called `name`, one of `ACTIVATIONS`; raises `OptionError` on any other name.

    Those whose gradient follows from their output work in place. For the others autograd would first copy the input,
    so that working in place would cost a pass over memory and save none.
    """
    match name:
        case "relu":
            return nn.ReLU(inplace=True)
        case "leaky_relu":
            return nn.LeakyReLU(LEAKY_SLOPE, inplace=True)
        case "elu":
            return nn.ELU(inplace=True)
        case "gelu":
            return nn.GELU()
        case "silu":
            return nn.SiLU()
        case "mish":
            return nn.Mish()
        case "none":
            return nn.Identity()
    raise OptionError("activation", f"{name!r} is unknown; choose one of {', '.join(ACTIVATIONS)}")


def make_norm(name: str, channels: int) -> nn.Module:
    """The normalisation called `name`, one of `NORMS`, of `channels` channels; raises `OptionError` on any other name.

    Group norm (Wu & He 2018) has 32 groups, or the largest divisor of 32 that leaves two channels or more a group.
    """
    match name:
        case "batch":
            return nn.BatchNorm2d(channels, eps=NORM_EPSILON, momentum=NORM_MOMENTUM)
        case "group":
            groups = math.gcd(32, channels)
            return nn.GroupNorm(groups if groups < channels else max(1, groups // 2), channels)
        case "none":
            return nn.Identity()
    raise OptionError("norm", f"{name!r} is unknown; choose one of {', '.join(NORMS)}")


def initialise(module: nn.Module, initialisation: str, activation: str) -> None:
    """Draw the weights of every convolution in `module` anew and set the biases to 0.

    - kaiming: normal, σ = gain / √fan_out (He et al. 2015, section 2.2, backward case)
    - xavier: uniform in ±√(6 / (fan_in + fan_out)) (Glorot & Bengio 2010, eq. 16)

    A fan counts the connections within a group: a depthwise convolution has fan_out = kernel area. The gain is √2 for
    ReLU and for the smooth activations, which are close to it, √(2 / (1 + slope²)) for leaky ReLU, 1 for none.
    """
    match activation:
        case "none":
            gain = 1.0
        case "leaky_relu":
            gain = math.sqrt(2 / (1 + LEAKY_SLOPE**2))
        case _:
            gain = math.sqrt(2)
    for convolution in module.modules():
        if not isinstance(convolution, nn.Conv2d):
            continue
        connections = math.prod(convolution.kernel_size) / convolution.groups
        fan_in = convolution.in_channels * connections
        fan_out = convolution.out_channels * connections
        match initialisation:
            case "kaiming":
                nn.init.normal_(convolution.weight, std=gain / math.sqrt(fan_out))
            case "xavier":
                bound = math.sqrt(6 / (fan_in + fan_out))
                nn.init.uniform_(convolution.weight, -bound, bound)
            case _:
                choices = ", ".join(INITIALISATIONS)
                raise OptionError("initialisation", f"{initialisation!r} is unknown; choose one of {choices}")
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)


def scale_channels(channels: int, width: float) -> int:
    """`channels` · `width`, rounded up to a multiple of 8 (what vector units take at once)."""
    return max(8, math.ceil(channels * width / 8) * 8)


def scale_depth(blocks: int, depth: float) -> int:
    """`blocks` · `depth`, rounded, at least 1."""
    return max(1, round(blocks * depth))


def count_parameters(module: nn.Module) -> int:
    """All parameters, trained or frozen."""
    return sum(parameter.numel() for parameter in module.parameters())


class ConvNormActivation(nn.Module):
    """Convolution with "same" padding → norm → activation: [B, in, H, W] → [B, out, ⌈H/stride⌉, ⌈W/stride⌉].

    The convolution has a bias only where no norm follows it.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: str = "silu",
        norm: str = "batch",
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(
            in_channels, out_channels, kernel, stride, padding=kernel // 2, groups=groups, bias=norm == "none"
        )
        self.norm = make_norm(norm, out_channels)
        self.activation = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, H, W] → [B, out, ⌈H/stride⌉, ⌈W/stride⌉]."""
        return self.activation(self.norm(self.convolution(x)))


class Residual(nn.Module):
    """Darknet's block (Redmon & Farhadi 2018, table 1): 1×1 to `hidden` channels, 3×3 back, plus the input.

    Without `shortcut` the input is not added.
    """

    def __init__(
        self, channels: int, hidden: int, shortcut: bool = True, activation: str = "silu", norm: str = "batch"
    ) -> None:
        super().__init__()
        self.reduce = ConvNormActivation(channels, hidden, 1, activation=activation, norm=norm)
        self.expand = ConvNormActivation(hidden, channels, 3, activation=activation, norm=norm)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] → the same shape."""
        y = self.expand(self.reduce(x))
        return x + y if self.shortcut else y


class CSP(nn.Module):
    """Cross-stage partial block (Wang et al. 2020, figure 2b): half of the channels pass by the residual blocks.

    One 1×1 convolution makes both halves, which is what two would compute, with half the launches and reads.
    [B, in, H, W] → [B, out, H, W].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        blocks: int,
        shortcut: bool = True,
        activation: str = "silu",
        norm: str = "batch",
    ) -> None:
        super().__init__()
        self.hidden = out_channels // 2
        self.split = ConvNormActivation(in_channels, 2 * self.hidden, 1, activation=activation, norm=norm)
        self.blocks = nn.Sequential(
            *(Residual(self.hidden, self.hidden, shortcut, activation, norm) for _ in range(blocks))
        )
        self.merge = ConvNormActivation(2 * self.hidden, out_channels, 1, activation=activation, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, H, W] → [B, out, H, W]."""
        through, past = self.split(x).split(self.hidden, dim=1)
        return self.merge(torch.cat([self.blocks(through), past], dim=1))


class SPP(nn.Module):
    """Spatial pyramid pooling as YOLO has it (after He et al. 2015, section 2.2): 1×1 to half the channels, pools, 1×1.

    The max pools of 5×5, 9×9 and 13×13 around each point are computed as 5×5 applied once, twice and three times.
    [B, in, H, W] → [B, out, H, W].
    """

    def __init__(self, in_channels: int, out_channels: int, activation: str = "silu", norm: str = "batch") -> None:
        super().__init__()
        hidden = in_channels // 2
        self.reduce = ConvNormActivation(in_channels, hidden, 1, activation=activation, norm=norm)
        self.merge = ConvNormActivation(4 * hidden, out_channels, 1, activation=activation, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, H, W] → [B, out, H, W]."""
        levels = [self.reduce(x)]
        for _ in range(3):
            levels.append(F.max_pool2d(levels[-1], kernel_size=5, stride=1, padding=2))
        return self.merge(torch.cat(levels, dim=1))


class SAM(nn.Module):
    """Spatial attention as YOLOv4 has it (Bochkovskiy et al. 2020, section 3.3, figure 5b): x · σ(norm(1×1(x))).

    Woo et al. 2018 (CBAM, section 3) weigh points; here each channel of each point has a weight of its own, and nothing
    is pooled. [B, channels, H, W] → the same shape.
    """

    def __init__(self, channels: int, norm: str = "batch") -> None:
        super().__init__()
        self.weigh = ConvNormActivation(channels, channels, 1, activation="none", norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] → the same shape."""
        return x * self.weigh(x).sigmoid()


class DropBlock(nn.Module):
    """DropBlock (Ghiasi et al. 2018, algorithm 1): in training, squares of `size`×`size` points become 0.

    Each channel has squares of its own, which lie wholly in the map; what is left is scaled up so that as much is left
    as there was. A square begins at any place with the probability of eq. 1,
    γ = p / size² · H·W / ((H − size + 1)·(W − size + 1)), by which the share p = `probability` would be dropped if squares
    never overlapped. A map smaller than `size` is dropped in squares as large as fit into it.
    [B, C, H, W] → the same shape. Raises `OptionError` on a probability outside 0..1 and on a size below 1.
    """

    def __init__(self, probability: float, size: int = 7) -> None:
        super().__init__()
        if not 0 <= probability < 1:
            raise OptionError("probability", f"{probability} is no probability to drop with; choose 0 to below 1")
        if size < 1:
            raise OptionError("size", f"{size} is no side of a square; choose 1 or more")
        self.probability = probability
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → the same shape; in evaluation mode the same tensor."""
        if not self.training or self.probability == 0:
            return x
        height, width = x.shape[-2:]
        size = min(self.size, height, width)
        rows, columns = height - size + 1, width - size + 1
        gamma = self.probability / size**2 * (height * width) / (rows * columns)
        # float32 under autocast too: bf16 has but 256 steps from 0 to 1, and γ is often below one of them
        begins = torch.rand(*x.shape[:2], rows, columns, device=x.device) < gamma
        # a point is dropped where one of the size × size squares that hold it begins: a maximum over those beginnings
        around = F.pad(begins.float(), [size - 1] * 4)
        kept = 1 - F.max_pool2d(around, kernel_size=size, stride=1)
        return x * (kept * (kept.numel() / kept.sum().clamp(min=1))).to(x.dtype)

    def extra_repr(self) -> str:
        """Numbers that `print` shows."""
        return f"probability={self.probability}, size={self.size}"
