from pathlib import Path

import pytest
from darknet_files import NET, SMALL

from detector.darknet.cfg import parse, read_text
from detector.darknet.head import DarknetHead
from detector.darknet.network import plan_network
from detector.darknet.options import check_options
from detector.errors import OptionError, UserError

NO_STRIDE = NET + "[convolutional]\nsize=3\nstride=2\nactivation=linear\nfilters=7\n[yolo]\nclasses=2\nanchors=1,1\n"


def build(text: str) -> DarknetHead:
    sections = parse(text, "some.cfg")
    check_options(sections)
    return DarknetHead(plan_network(sections), classes=2)


def test_sections_and_options_know_their_lines() -> None:
    sections = parse("# a comment\n[net]\nwidth = 3 2 ; another\n\n[maxpool]\r\nsize=2\r\n", "some.cfg")
    assert [(section.name, section.line) for section in sections] == [("net", 2), ("maxpool", 5)]
    assert sections[0].options["width"].line == 3
    assert sections[0].integer("width", 0) == 32
    assert sections[1].integer("size", 0) == 2


def test_what_concerns_training_is_listed_and_what_shapes_the_network_is_not() -> None:
    text = SMALL.replace("channels=3", "channels=3\nlearning_rate=0.001\nmosaic=1").replace(
        "num=3", "num=3\nignore_thresh=.7\nnms_kind=diounms"
    )
    listed = check_options(parse(text, "some.cfg"))
    assert listed == ["net.learning_rate", "net.mosaic", "yolo.ignore_thresh", "yolo.nms_kind"]


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "some.cfg").write_bytes(b"\xef\xbb\xbf[net]\n")
    assert read_text(tmp_path / "some.cfg") == "[net]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"some\.cfg: is empty"),
        (NET, r"some\.cfg, line 1, \[net\]: no layer follows"),
        ("[convolutional]\nfilters=3\n", r"line 1, \[convolutional\]: the first section must be \[net\]"),
        ("width=3\n[net]\n", r"line 1: width=3 stands before any"),
        ("[net\n", r"line 1: '\[net' is no section"),
        ("[net]\nwidth\n", r"line 2: 'width' is neither"),
        (NET + "[maxpool]\nsize=2\n", r"some\.cfg: has no \[yolo\] or \[region\]"),
        (SMALL.replace("width=64", "width=6x4"), r"line 2, \[net\]: width=6x4 is not a whole number"),
        (SMALL.replace("width=64", ""), r"line 1, \[net\]: width=0: a positive number"),
        (SMALL.replace("channels=3", "channels=1"), r"line 4, \[net\]: channels=1"),
        (SMALL.replace("[upsample]", "[upsampel]"), r"line 43, \[upsampel\]: is no layer.*\[upsample\]"),
        (SMALL.replace("filters=8", "filter=8"), r"line 8, \[convolutional\]: filter is unknown; there are.*filters"),
        (SMALL.replace("filters=8", "filters=0"), r"line 8, \[convolutional\]: filters=0 must be at least 1"),
        (SMALL.replace("filters=8", "filters=8\ngroups=2"), r"line 9, .*groups=2 does not divide the channels of.*3"),
        (SMALL.replace("filters=8", "filters=8\nfilters=9"), r"line 8, .*given twice, 8 here and 9 in line 9"),
        (SMALL.replace("filters=8", "filters=8\nxnor=1"), r"line 9, .*xnor=1 is not supported, only xnor=0"),
        (SMALL.replace("activation=mish", "activation=mush"), r"line 24, .*activation=mush is unknown; there are.*mish"),
        (SMALL.replace("layers = -3", "layers = -9"), r"line 41, \[route\]: layers: there is no layer -9.*layer 5"),
        (SMALL.replace("layers = -3", "layers = 5"), r"line 41, \[route\]: layers: there is no layer 5 before"),
        (SMALL.replace("layers = -3", "layers = -2"), r"line 40, \[route\]: uses layer 3 .*line 26.*is a prediction"),
        (SMALL.replace("layers = -3", "layers = -1"), r"line 40, \[route\]: uses layer 4 .*\[yolo\].*is a prediction"),
        (SMALL.replace("layers = -3", ""), r"line 40, \[route\]: layers=\.\.\. must name"),
        (SMALL.replace("layers = -1, 1", "layers = -1, 0"), r"line 47, \[route\]: layer 0 gives 32×32, layer 6 16×16"),
        (SMALL.replace("layers = -3", "layers = -3\ngroups=2\ngroup_id=2"), r"line 43, .*group_id=2 must be below"),
        (SMALL.replace("layers = -3", "layers = -3\ngroups=5"), r"line 42, .*groups=5 does not divide 12 channels"),
        (SMALL.replace("filters=14", "filters=15"), r"line 30, .*filters=15, .*line 33 .*2·\(5 \+ 2\) = 14"),
        (SMALL.replace("mask = 1,2", "mask = 1,3"), r"line 34, \[yolo\]: mask: there is no anchor 3; num=3"),
        (SMALL.replace("20,30", "20", 1), r"line 35, \[yolo\]: anchors: 5 numbers; num=3 anchors need 6"),
        (SMALL.replace("20,30", "20,x", 1), r"line 35, \[yolo\]: anchors=4,5,8,9,20,x is not numbers"),
        (SMALL.replace("20,30", "20,0", 1), r"line 35, \[yolo\]: anchors: widths and heights are above 0"),
        (SMALL.replace("filters=7\nactivation=linear", "filters=7\nactivation=leaky"), r"line 51, .*needs linear"),
        (SMALL.replace("classes=2", "classes=3").replace("filters=14", "filters=16").replace("filters=7", "filters=8")
         .replace("mask = 0\nanchors = 4,5, 8,9, 20,30\nclasses=3", "mask = 0\nanchors = 4,5, 8,9, 20,30\nclasses=2")
         .replace("filters=8\nactivation=linear", "filters=7\nactivation=linear"), r"classes=2, another prediction has 3"),
        (SMALL.replace("[upsample]\nstride=2", "[dropout]\nprobability=1"), r"line 44, .*probability=1 is not in 0\.\.1"),
        (SMALL.replace("scale_x_y = 1.1", "scale_x_y = 0.5"), r"line 38, \[yolo\]: scale_x_y=0\.5 must be at least 1"),
        (SMALL.replace("[maxpool]\nsize=2\nstride=2", "[yolo]\nclasses=2"), r"line 17, .*uses layer 1 \(\[yolo\], line 14\)"),
        (NET + "[yolo]\nclasses=2\n", r"line 5, \[yolo\]: must follow the \[convolutional\]"),
        (NET + "[net]\nwidth=3\n", r"line 5, \[net\]: a second \[net\]"),
        (NET + "[convolutional]\nsize=99\n", r"line 6, .*size=99 is larger than its input of 64×64"),
        (SMALL.replace("filters=8", "filters=1000000000"), r"line 6, .*has 27,000,000,000 weights, more than"),
        (SMALL.replace("filters=8", "filters=99999999999999999999"), r"filters=9+ is not a whole number"),
        (SMALL.replace("filters=8", "filters=1_0"), r"filters=1_0 is not a whole number"),
        (SMALL.replace("size=3", "size=" + "9" * 5000, 1), r"size=9{40}… is not a whole number"),
        (SMALL.replace("[upsample]\nstride=2", "[upsample]\nstride=100000"), r"line 43, .*more than fits into memory"),
        (SMALL.replace("64", "1000000"), r"line 1, \[net\]: an image of 1000000×1000000 pixels is too large"),
        (SMALL.replace("[upsample]", "[route]\nlayers=-1,-1\n" * 40 + "[upsample]"), r"more than fits into memory"),
        (SMALL.replace("20,30", "20,nan", 1), r"line 35, \[yolo\]: anchors=4,5,8,9,20,nan is not numbers"),
        (SMALL.replace("20,30", "20,1e400", 1), r"anchors=4,5,8,9,20,1e400 is not numbers"),
        (SMALL.replace("scale_x_y = 1.1", "scale_x_y = inf"), r"line 38, \[yolo\]: scale_x_y=inf is not a number"),
        (SMALL.replace("channels=3", "channels=3\nnonsense=1").replace("[upsample]", "[Gaussian_yolo]"),
         r"line 44, \[Gaussian_yolo\]: is no layer that can be built"),
        (SMALL.replace("channels=3", "channels=3\nnonsense=1").replace("filters=12", "filters=12\nxnor=1"),
         r"line 22, \[convolutional\]: xnor=1 is not supported"),
        (SMALL.replace("[upsample]", "[softmax]"), r"line 43, \[softmax\]: ends a classifier.*backbone=darknet_cfg"),
        (NO_STRIDE, r"line 5, .*its 31×31 map has no whole stride in an image of 64×64"),
    ],
)  # fmt: skip
def test_every_mistake_is_answered_with_the_file_the_section_and_the_line(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        build(text)
    assert str(caught.value).startswith("some.cfg")
    assert "\n" not in str(caught.value)


TRAINING_KEYS = """
batch subdivisions momentum decay angle saturation exposure hue learning_rate burn_in max_batches policy steps scales mosaic
cutmix mixup letter_box flip adam max_crop min_crop aspect optimized_memory workspace_size_limit_MB ema_alpha max_epochs
"""
YOLO_KEYS = """
jitter random resize truth_thresh ignore_thresh iou_thresh iou_loss iou_normalizer cls_normalizer obj_normalizer
uc_normalizer delta_normalizer nms_kind beta_nms max_delta label_smooth_eps focal_loss counters_per_class
objectness_smooth show_details max
"""


def test_keys_of_training_alone_change_nothing() -> None:
    def given(keys: str) -> str:
        return "".join(f"{key}=1\n" for key in keys.split())

    text = SMALL.replace("channels=3\n", "channels=3\n" + given(TRAINING_KEYS)).replace(
        "num=3\n", "num=3\n" + given(YOLO_KEYS)
    )
    text = text.replace("filters=8", "filters=8\n" + given("stopbackward assisted_excitation grad_centr dont_update"))
    sections = parse(text, "some.cfg")
    listed = check_options(sections)
    assert set(listed) == {
        *(f"net.{key}" for key in TRAINING_KEYS.split()),
        *(f"yolo.{key}" for key in YOLO_KEYS.split()),
        *(f"convolutional.{key}" for key in ("stopbackward", "assisted_excitation", "grad_centr", "dont_update")),
    }
    plain, trained = ([layer.shape for layer in plan_network(parse(one, "some.cfg")).layers] for one in (SMALL, text))
    assert plain == trained


def test_anchors_beyond_num_are_not_read() -> None:
    assert build(SMALL.replace("20,30", "20,30, 7,7")).anchors == build(SMALL).anchors


@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "latin-1", "utf-16", "cp1251"])
def test_comments_may_be_in_any_encoding(encoding: str, tmp_path: Path) -> None:
    comment = {"gbk": "类别", "latin-1": "hauteur réelle", "cp1251": "слой"}.get(encoding, "层 слой")
    (tmp_path / "some.cfg").write_bytes(SMALL.replace("[net]", f"[net]  # {comment}").encode(encoding))
    assert build(read_text(tmp_path / "some.cfg")).strides == build(SMALL).strides


@pytest.mark.parametrize("name", ["nothing.cfg", "folder", "picture.cfg"])
def test_what_is_no_text_file_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "picture.cfg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(OptionError, match=rf"cfg=.*{name}"):
        read_text(tmp_path / name)


def test_repeated_options_that_say_the_same_or_concern_training_do_no_harm() -> None:
    repeated = build(
        SMALL.replace("filters=8", "filters=8\nfilters=8").replace("channels=3", "channels=3\nsteps=1\nsteps=2")
    )
    shapes = [[tuple(weight.shape) for weight in network.parameters()] for network in (build(SMALL), repeated)]
    assert shapes[0] == shapes[1]
