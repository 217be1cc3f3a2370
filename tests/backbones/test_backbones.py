import copy
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from detector.backbones.csp_darknet import CSPDarknet
from detector.backbones.darknet import Darknet53
from detector.backbones.darknet19 import Darknet19
from detector.backbones.efficientnet import EfficientNet
from detector.backbones.resnet import ResNet
from detector.backbones.vgg import VGG
from detector.errors import OptionError
from detector.freezing import StagedBackbone
from detector.layers import ACTIVATIONS, NORMS

BACKBONES: dict[str, Callable[..., StagedBackbone]] = {
    "vgg11": lambda **options: VGG(depth=11, **options),
    "vgg16": lambda **options: VGG(depth=16, **options),
    "resnet18": lambda **options: ResNet(depth=18, **options),
    "resnet50": lambda **options: ResNet(depth=50, **options),
    "darknet53": lambda **options: Darknet53(**options),
    "darknet19": lambda **options: Darknet19(**options),
    "csp_darknet": lambda **options: CSPDarknet(**options),
    # a block that is skipped for the whole batch gets no gradient
    "efficientnet_b0": lambda **options: EfficientNet(stochastic_depth=0.0, **options),
    "efficientnet_b3": lambda **options: EfficientNet("b3", stochastic_depth=0.0, **options),
}
FAMILIES = ("vgg11", "resnet18", "darknet53", "darknet19", "csp_darknet", "efficientnet_b0")

every_backbone = pytest.mark.parametrize("name", BACKBONES)
every_family = pytest.mark.parametrize("name", FAMILIES)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def images(height: int = 32, width: int = 64) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


@every_backbone
@pytest.mark.parametrize("size", [(64, 96), (160, 32)])
def test_features_have_the_channels_and_strides_announced_before_the_forward_pass(
    name: str, size: tuple[int, int]
) -> None:
    backbone = BACKBONES[name]().eval()
    info = backbone.info
    assert info.names == ("C2", "C3", "C4", "C5")
    assert info.strides == (4, 8, 16, 32)
    with torch.no_grad():
        features = backbone(images(*size))
    assert tuple(features) == info.names
    for feature, channels, stride in zip(features.values(), info.channels, info.strides, strict=True):
        assert feature.shape == (2, channels, size[0] // stride, size[1] // stride)


@every_backbone
def test_gradient_reaches_every_parameter_and_the_images(name: str) -> None:
    torch.manual_seed(0)
    backbone = BACKBONES[name]()
    x = images().requires_grad_()
    backbone(x)["C5"].square().sum().backward()
    assert x.grad is not None
    without = [key for key, p in backbone.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A bias before a batch norm is subtracted again with the mean: torchvision's VGGs have those.
    assert not [key for key in without if not (name.startswith("vgg") and key.endswith("bias"))]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in backbone.parameters())


@every_family
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_named_activation_is_the_only_one(name: str, activation: str) -> None:
    with torch.device("meta"):
        backbone = BACKBONES[name](activation=activation)
    kinds = {
        "relu": nn.ReLU,
        "leaky_relu": nn.LeakyReLU,
        "elu": nn.ELU,
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "mish": nn.Mish,
    }
    found = {kind for kind in kinds.values() for module in backbone.modules() if isinstance(module, kind)}
    assert found == ({kinds[activation]} if activation != "none" else set())
    assert backbone(torch.empty(1, 3, 64, 64, device="meta"))["C5"].shape[-2:] == (2, 2)


@every_family
@pytest.mark.parametrize("norm", NORMS)
def test_the_named_norm_is_the_only_one_and_trains(name: str, norm: str) -> None:
    torch.manual_seed(0)
    backbone = BACKBONES[name](norm=norm)
    kinds = {"batch": nn.BatchNorm2d, "group": nn.GroupNorm}
    found = {kind for kind in kinds.values() for module in backbone.modules() if isinstance(module, kind)}
    assert found == ({kinds[norm]} if norm != "none" else set())
    convolutions = [module for module in backbone.modules() if isinstance(module, nn.Conv2d)]
    assert norm != "none" or all(convolution.bias is not None for convolution in convolutions)
    features = backbone(images())
    assert all(feature.isfinite().all() for feature in features.values())
    features["C5"].square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in backbone.parameters())


@every_family
def test_initialisations_draw_different_weights_of_the_expected_spread(name: str) -> None:
    for initialisation, variance in (
        ("kaiming", lambda fan_in, fan_out: 2 / fan_out),
        ("xavier", lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
    ):
        torch.manual_seed(0)
        backbone = BACKBONES[name](initialisation=initialisation, activation="relu")
        for convolution in (m for m in backbone.modules() if isinstance(m, nn.Conv2d) and m.weight.numel() > 8000):
            kernel = convolution.kernel_size[0] * convolution.kernel_size[1] / convolution.groups
            expected = variance(convolution.in_channels * kernel, convolution.out_channels * kernel)
            assert convolution.weight.var().item() == pytest.approx(expected, rel=0.15)


@every_family
@pytest.mark.parametrize("stages", [0, 1, 3, 5])
def test_frozen_stages_get_no_gradient_and_change_no_buffer_in_training(name: str, stages: int) -> None:
    torch.manual_seed(0)
    backbone = BACKBONES[name](frozen_stages=stages).train()
    before = copy.deepcopy(dict(backbone.named_buffers()))
    features = backbone(images())
    if any(p.requires_grad for p in backbone.parameters()):
        features["C5"].sum().backward()
    frozen = tuple(f"stages.{index}." for index in range(stages))
    for key, parameter in backbone.named_parameters():
        assert (parameter.grad is None) == key.startswith(frozen), key
    for key, buffer in backbone.named_buffers():
        assert torch.equal(buffer, before[key]) == key.startswith(frozen), key


@every_family
def test_frozen_norms_keep_statistics_and_affine_parameters_while_convolutions_train(name: str) -> None:
    backbone = BACKBONES[name](freeze_norm=True).eval().train()
    before = copy.deepcopy(dict(backbone.named_buffers()))
    backbone(images())["C5"].sum().backward()
    for module in backbone.modules():
        if isinstance(module, _BatchNorm):
            assert not module.training
            assert module.weight.grad is None
            assert module.bias.grad is None
        if isinstance(module, nn.Conv2d):
            assert module.weight.grad is not None
    assert all(torch.equal(buffer, before[key]) for key, buffer in backbone.named_buffers())


@every_family
def test_freezing_again_replaces_the_freezing_before(name: str) -> None:
    with torch.device("meta"):
        backbone = BACKBONES[name](frozen_stages=1, freeze_norm=True)
    configured = [p.requires_grad for p in backbone.parameters()]
    backbone.freeze(5)
    assert not any(p.requires_grad for p in backbone.parameters())
    assert not any(m.training for m in backbone.modules() if isinstance(m, _BatchNorm))
    backbone.freeze(1, norm=True)
    assert [p.requires_grad for p in backbone.parameters()] == configured
    backbone.freeze(0)
    assert all(p.requires_grad for p in backbone.parameters())
    assert all(m.training for m in backbone.modules())


@every_family
def test_evaluation_mode_freezes_and_thaws_nothing(name: str) -> None:
    with torch.device("meta"):
        backbone = BACKBONES[name](frozen_stages=2).eval()
    backbone.freeze(0)
    assert not any(module.training for module in backbone.modules())


@every_family
@pytest.mark.parametrize("stages", [-1, 6])
def test_impossible_number_of_frozen_stages_names_the_key(name: str, stages: int) -> None:
    with torch.device("meta"), pytest.raises(OptionError, match=r"frozen_stages.*0 to 5"):
        BACKBONES[name](frozen_stages=stages)


@every_family
def test_freezing_norms_that_are_not_batch_norms_is_refused(name: str) -> None:
    with torch.device("meta"), pytest.raises(OptionError, match=r"freeze_norm.*norm=batch"):
        BACKBONES[name](norm="group", freeze_norm=True)


@every_backbone
def test_construction_and_forward_on_the_meta_device_allocate_nothing(name: str) -> None:
    with torch.device("meta"):
        backbone = BACKBONES[name]()
    assert all(tensor.is_meta for tensor in backbone.state_dict().values())
    assert all(tensor.is_meta for tensor in backbone(images().to("meta")).values())


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_resnet_has_torchvisions_parameters_without_the_classifier(depth: int) -> None:
    with torch.device("meta"):
        ours, theirs = ResNet(depth=depth), torchvision.models.get_model(f"resnet{depth}")
    assert parameters(ours) == parameters(theirs) - parameters(theirs.fc)


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_vgg_has_torchvisions_parameters_without_the_classifier(depth: int, norm: str) -> None:
    with torch.device("meta"):
        ours = VGG(depth=depth, norm=norm)
        theirs = torchvision.models.get_model(f"vgg{depth}_bn" if norm == "batch" else f"vgg{depth}")
    assert parameters(ours) == parameters(theirs.features)


def test_darknet53_has_the_parameters_of_the_papers_table() -> None:
    """Redmon & Farhadi 2018, table 1: (repeats, [(filters, kernel), ...]), each convolution with a batch norm."""
    table: list[tuple[int, list[tuple[int, int]]]] = [
        (1, [(32, 3)]),
        (1, [(64, 3)]),
        (1, [(32, 1), (64, 3)]),
        (1, [(128, 3)]),
        (2, [(64, 1), (128, 3)]),
        (1, [(256, 3)]),
        (8, [(128, 1), (256, 3)]),
        (1, [(512, 3)]),
        (8, [(256, 1), (512, 3)]),
        (1, [(1024, 3)]),
        (4, [(512, 1), (1024, 3)]),
    ]
    convolutions = weights = filters_of_all = 0
    channels = 3
    for repeats, rows in table:
        for _ in range(repeats):
            for filters, kernel in rows:
                convolutions += 1
                weights += channels * filters * kernel**2
                filters_of_all += filters
                channels = filters
    backbone = Darknet53()
    assert convolutions == 52 == sum(isinstance(m, nn.Conv2d) for m in backbone.modules())
    assert parameters(backbone) == weights + 2 * filters_of_all
    # Darknet's weight file also holds each norm's mean and variance: darknet53.conv.74 has 40,620,640 floats.
    statistics = sum(b.numel() for b in backbone.buffers() if b.ndim)
    assert parameters(backbone) + statistics == 40_620_640


@pytest.mark.parametrize(("depth", "width"), [(0.33, 0.25), (0.33, 0.5), (0.67, 0.75), (1.0, 1.0), (1.33, 1.25)])
def test_csp_darknet_has_the_parameters_of_a_count_by_hand(depth: float, width: float) -> None:
    def convolution(before: int, after: int, kernel: int) -> int:
        return before * after * kernel**2 + 2 * after

    channels = [int(c * width) for c in (64, 128, 256, 512, 1024)]
    expected = convolution(3, channels[0], 3)
    for before, after, repeats in zip(channels[:-1], channels[1:], (3, 6, 6, 3), strict=True):
        half = after // 2
        expected += convolution(before, after, 3) + 2 * convolution(after, half, 1) + convolution(after, after, 1)
        expected += round(repeats * depth) * (convolution(half, half, 1) + convolution(half, half, 3))
    half = channels[-1] // 2
    spp = convolution(channels[-1], half, 1) + convolution(4 * half, channels[-1], 1)
    with torch.device("meta"):
        assert parameters(CSPDarknet(depth, width)) == expected + spp
        assert parameters(CSPDarknet(depth, width, spp=False)) == expected


def test_darknet19_has_the_parameters_of_the_papers_table() -> None:
    """Redmon & Farhadi 2017, table 6: (filters, kernel) down to the last convolution, which classifies."""
    table = [(32, 3), (64, 3), (128, 3), (64, 1), (128, 3), (256, 3), (128, 1), (256, 3), (512, 3), (256, 1), (512, 3)]
    table += [(256, 1), (512, 3), (1024, 3), (512, 1), (1024, 3), (512, 1), (1024, 3)]
    weights = 0
    for (before, _), (filters, kernel) in zip([(3, 0), *table[:-1]], table, strict=True):
        weights += before * filters * kernel**2
    filters_of_all = sum(filters for filters, _ in table)
    backbone = Darknet19()
    assert sum(isinstance(m, nn.Conv2d) for m in backbone.modules()) == 18
    assert sum(isinstance(m, nn.MaxPool2d) for m in backbone.modules()) == 5
    assert parameters(backbone) == weights + 2 * filters_of_all
    # with the classifier, a 1×1 convolution to 1000 classes with a bias: the 20.8 million that the network is known for
    assert parameters(backbone) + 1024 * 1000 + 1000 == 20_842_376
    # Darknet's weight file also holds each norm's mean and variance: darknet19_448.conv.23 has 79,327,120 bytes,
    # of which the header takes 16.
    statistics = sum(b.numel() for b in backbone.buffers() if b.ndim)
    assert 4 * (parameters(backbone) + statistics) + 16 == 79_327_120


@pytest.mark.parametrize(
    ("variant", "published"),
    [("b0", 5_288_548), ("b1", 7_794_184), ("b2", 9_109_994), ("b3", 12_233_232), ("b4", 19_341_616)],
)
def test_efficientnet_has_the_published_parameters_without_last_convolution_and_classifier(
    variant: str, published: int
) -> None:
    model = f"efficientnet_{variant}"
    assert torchvision.models.get_model_weights(model).DEFAULT.meta["num_params"] == published
    with torch.device("meta"):
        ours = EfficientNet(variant)
    top = ours.info.channels[-1]
    last = 4 * top  # Tan & Le 2019, table 1: 320 → 1280 channels, with a batch norm
    assert parameters(ours) + top * last + 2 * last + last * 1000 + 1000 == published


def test_efficientnet_skips_blocks_in_training_only_and_more_often_the_deeper_they_lie() -> None:
    torch.manual_seed(0)
    backbone = EfficientNet(stochastic_depth=0.5, norm="group")
    x = images()
    assert not torch.equal(backbone(x)["C5"], backbone(x)["C5"])
    backbone.eval()
    assert torch.equal(backbone(x)["C5"], backbone(x)["C5"])
    skipped = [m.p for m in backbone.modules() if isinstance(m, torchvision.ops.StochasticDepth)]
    assert skipped == pytest.approx([0.5 * i / 16 for i in range(16)])


def test_unknown_variant_of_efficientnet_names_the_key_and_the_choices() -> None:
    with pytest.raises(OptionError, match=r"variant.*'b9'.*b0, b1, b2, b3, b4"):
        EfficientNet("b9")
    with pytest.raises(OptionError, match=r"stochastic_depth: 1\.5"):
        EfficientNet(stochastic_depth=1.5)


@pytest.mark.parametrize(("make", "key"), [(lambda: VGG(depth=12), "VGG-12"), (lambda: ResNet(depth=20), "ResNet-20")])
def test_unknown_depth_names_the_key_and_the_choices(make: Callable[[], nn.Module], key: str) -> None:
    with pytest.raises(OptionError, match=rf"depth.*{key}.*(11, 13, 16, 19|18, 34, 50, 101)"):
        make()


PRETRAINED = [
    ("resnet18", "batch", lambda: ResNet(depth=18, pretrained=True)),
    ("vgg11_bn", "batch", lambda: VGG(depth=11, pretrained=True)),
    ("vgg11", "none", lambda: VGG(depth=11, norm="none", pretrained=True)),
    ("efficientnet_b0", "batch", lambda: EfficientNet("b0", pretrained=True)),
]


@pytest.fixture
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty weight folder, and a network that cannot be reached."""

    def unreachable(*arguments: object, **options: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path


def weight_file(torch_home: Path, model: str) -> Path:
    url = torchvision.models.get_model_weights(model).DEFAULT.url
    file = torch_home / "hub" / "checkpoints" / url.rsplit("/", 1)[1]
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


@pytest.mark.parametrize(
    ("model", "norm", "make"), PRETRAINED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_pretrained_weights_give_torchvisions_features(
    torch_home: Path, model: str, norm: str, make: Callable[[], StagedBackbone]
) -> None:
    torch.manual_seed(0)
    with torch.device("meta"):
        theirs = torchvision.models.get_model(model)
    theirs.fc = theirs.classifier = nn.Identity()  # VGG's classifier takes seconds to draw and is not used
    theirs.to_empty(device="cpu").eval()
    for tensor in theirs.state_dict().values():
        if tensor.ndim > 1:
            nn.init.kaiming_normal_(tensor)
        elif tensor.ndim == 1:
            nn.init.uniform_(tensor, 0.5, 2)
    classifier = {"classifier.6.bias": torch.zeros(1000)}
    if model.startswith("efficientnet"):
        classifier = {"classifier.1.weight": torch.zeros(1000, 1280), "classifier.1.bias": torch.zeros(1000)}
    if model.startswith("resnet"):
        classifier = {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    torch.save(theirs.state_dict() | classifier, weight_file(torch_home, model))
    x = images()
    with torch.no_grad():
        features = make().eval()(x)
        if model.startswith("resnet"):
            y = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
            expected = {}
            for index in (1, 2, 3, 4):
                y = getattr(theirs, f"layer{index}")(y)
                expected[f"C{index + 1}"] = y
        elif model.startswith("efficientnet"):
            y, expected = x, {}
            for index, layer in enumerate(theirs.features):
                y = layer(y)
                if index in (2, 3, 5, 7):
                    expected[f"C{len(expected) + 2}"] = y
        else:
            before_pools, y = [], x
            for layer in theirs.features:
                if isinstance(layer, nn.MaxPool2d):
                    before_pools.append(y)
                y = layer(y)
            expected = dict(zip(("C2", "C3", "C4", "C5"), [*before_pools[2:], y], strict=True))
    assert features.keys() == expected.keys()
    for level, feature in expected.items():
        torch.testing.assert_close(features[level], feature)


@pytest.mark.parametrize(
    ("model", "norm", "make"), PRETRAINED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_without_network_one_line_says_where_the_file_belongs(
    torch_home: Path, model: str, norm: str, make: Callable[[], StagedBackbone]
) -> None:
    with pytest.raises(OptionError) as error:
        make()
    message = str(error.value)
    assert "\n" not in message
    assert "pretrained=false" in message
    assert str(weight_file(torch_home, model)) in message


def test_unreadable_weight_file_is_named(torch_home: Path) -> None:
    file = weight_file(torch_home, "resnet18")
    file.write_bytes(b"half a download")
    with pytest.raises(OptionError) as error:
        ResNet(depth=18, pretrained=True)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("make", [CSPDarknet, Darknet19, Darknet53])
def test_backbones_without_published_weights_refuse_pretrained(make: Callable[..., StagedBackbone]) -> None:
    with pytest.raises(OptionError, match=r"pretrained"):
        make(pretrained=True)


@pytest.mark.parametrize(
    ("make", "norm"),
    [(ResNet, "group"), (ResNet, "none"), (VGG, "group"), (EfficientNet, "group"), (EfficientNet, "none")],
)
def test_pretrained_weights_refuse_a_norm_they_were_not_trained_with(
    make: Callable[..., StagedBackbone], norm: str
) -> None:
    with pytest.raises(OptionError, match=r"norm"):
        make(pretrained=True, norm=norm)
