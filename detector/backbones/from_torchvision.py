"""What the backbones built from torchvision's models share: their weights, and another activation or norm in them."""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from detector.errors import OptionError
from detector.layers import make_activation, make_norm


def pretrained_state(model: str) -> dict[str, Tensor]:
    """The state dict of torchvision's best ImageNet weights for `model` ("resnet50", "vgg16_bn", ...).

    It is read from the folder of `torch.hub` and downloaded to there once. Raises `OptionError` where it cannot be
    downloaded or read.
    """
    from torchvision.models import get_model_weights

    weights = get_model_weights(model).DEFAULT
    file = PurePosixPath(urlparse(weights.url).path).name
    cached = f"{torch.hub.get_dir()}/checkpoints/{file}"
    try:
        return weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except OSError as error:
        raise OptionError(
            "pretrained",
            f"needs to download {weights.url}: {error}; give pretrained=false or put the file at {cached}",
            "true",
        ) from error
    except Exception as error:  # a damaged file fails in the unpickler in any way whatever
        raise OptionError(
            "pretrained",
            f"cannot read the weights {cached} ({type(error).__name__}); remove the file, so that it is downloaded again",
            "true",
        ) from error


def adapt(model: nn.Module, activation: str, norm: str) -> None:
    """Replace every ReLU and SiLU in `model` by `activation` and, unless `norm` is "batch", every batch norm by `norm`.

    Batch norms keep torchvision's ε and momentum, with which the published weights were trained. Where norms go,
    convolutions get the bias that the norms had.
    """
    for name, child in list(model.named_children()):
        if isinstance(child, (nn.ReLU, nn.SiLU)):
            setattr(model, name, make_activation(activation))
        elif isinstance(child, nn.BatchNorm2d) and norm != "batch":
            setattr(model, name, make_norm(norm, child.num_features))
        elif isinstance(child, nn.Conv2d) and norm == "none" and child.bias is None:
            child.bias = nn.Parameter(child.weight.new_zeros(child.out_channels))
        else:
            adapt(child, activation, norm)
