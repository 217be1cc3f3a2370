"""The options of Darknet's sections: those that mean something here, those that do not, those that are refused.

The names are those of Darknet's documentation (the wiki pages "CFG parameters in the [net] section" and "in the different
layers"). What is in none of the tables is unknown, and refused: nothing is passed over in silence.
"""

from __future__ import annotations

from collections.abc import Sequence

from detector.darknet.cfg import Section, shortened

ALIASES = {
    "network": "net",
    "conv": "convolutional",
    "max": "maxpool",
    "avg": "avgpool",
    "local_avg": "local_avgpool",
    "soft": "softmax",
}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


USED: dict[str, frozenset[str]] = {
    name: _words(keys)
    for name, keys in {
        "net": "width height channels",
        "convolutional": "filters size stride pad padding groups batch_normalize activation dontload",
        "shortcut": "from activation",
        "route": "layers groups group_id",
        "upsample": "stride",
        "maxpool": "size stride padding",
        "avgpool": "",
        "dropout": "probability",
        "scale_channels": "from activation",
        "sam": "from activation",
        "reorg": "stride",
        "reorg3d": "stride",
        "local_avgpool": "size stride padding",
        "contrastive": "",
        "yolo": "mask anchors num classes scale_x_y new_coords",
        "region": "anchors num classes",
    }.items()
}
"""The sections that can be built, and the options that shape them."""

CLASSIFIER = {"softmax": _words("groups temperature"), "cost": _words("type scale ratio")}
"""What may follow the layers of a classifier, and its options, none of which matters to features."""

_ANY_LAYER = _words("stopbackward onlyforward dont_update burnin_update train_only_bn learning_rate clip")

ELSEWHERE: dict[str, frozenset[str]] = {
    "net": _words(
        "batch subdivisions momentum decay learning_rate burn_in max_batches policy steps scales step scale gamma power "
        "adam B1 B2 eps ema_alpha loss_scale sgdr_cycle sgdr_mult seq_scales reg "
        "angle saturation exposure hue aspect flip blur gaussian_noise mosaic mosaic_bound cutmix mixup letter_box "
        "max_crop min_crop max_ratio min_ratio center noadjust label_smooth_eps adversarial_lr attention "
        "contrastive contrastive_jit_flip contrastive_color unsupervised "
        "badlabels_rejection_percentage badlabels_reject_threshold num_sigmas_reject_badlabels equidistant_point "
        "optimized_memory workspace_size_limit_MB dynamic_minibatch max_chart_loss show_receptive_field use_cuda_graph "
        "time_steps track augment_speed sequential_subdivisions init_sequential_subdivisions try_fix_nan "
        "weights_reject_freq learning_rate_min resize_step max_epochs seen inputs"
    ),
    "convolutional": _words("assisted_excitation grad_centr stream wait_stream angle"),
    "route": _words("stream wait_stream"),
    "contrastive": _words("classes temperature cls_normalizer max_delta contrastive_neg_max yolo_layer"),
    **CLASSIFIER,
    "dropout": _words("dropblock dropblock_size_rel dropblock_size_abs"),
    "yolo": _words(
        "jitter resize random ignore_thresh truth_thresh iou_thresh iou_loss iou_thresh_kind "
        "cls_normalizer obj_normalizer iou_normalizer delta_normalizer uc_normalizer max_delta label_smooth_eps "
        "focal_loss objectness_smooth counters_per_class max nms_kind beta_nms beta1 show_details "
        "embedding_layer track_history_size sim_thresh dets_for_track dets_for_show track_ciou_norm map truth_smoothing"
    ),
    "region": _words(
        "jitter random rescore object_scale noobject_scale class_scale coord_scale mask_scale absolute thresh bias_match "
        "max log sqrt focal_loss resize classfix"
    ),
}
"""Training, augmentation and suppression: chosen by `optim`, `augment`, `assigner`, `loss` and `model` instead."""

ONLY: dict[str, dict[str, str]] = {
    "convolutional": {
        "dilation": "1",
        **dict.fromkeys(
            _words(
                "binary xnor bin_output antialiasing flipped dot rotate sway stretch stretch_sway deform coordconv reverse "
                "dontloadscales cbn"
            ),
            "0",
        ),
    },
    "maxpool": {"maxpool_depth": "0", "antialiasing": "0", "maxpool_zero_nonmax": "0"},
    "shortcut": {"alpha": "1", "beta": "1", "weights_type": "none", "weights_normalization": "none"},
    "upsample": {"scale": "1"},
    "scale_channels": {"scale_wh": "0"},
    "reorg": {"reverse": "0", "flatten": "0", "extra": "0"},
    "reorg3d": {"reverse": "0"},
    "yolo": {"coords": "4"},
    "region": {"coords": "4", "softmax": "1", "background": "0", "tree": "none", "map": "none"},
}
"""Options that would make another network, and the one value with which they do not."""


def check_options(sections: Sequence[Section], classifier: bool = False) -> list[str]:
    """Refuses sections and options that cannot be built or are unknown: first what stands in the way of any network
    like this one, wherever it stands, then unknown options.

    Args:
        sections: `[net]` and the layers; their names are made the usual ones.
        classifier: whether [softmax] and [cost] may follow.

    Returns:
        "section.option", sorted, of all that is known and has no meaning here.

    Raises:
        UserError: with the file, the line and the section.
    """
    for section in sections:
        section.name = ALIASES.get(section.name, section.name)
    for section in sections:
        _check_buildable(section, sections[0], classifier)
    elsewhere = set()
    for section in sections:
        name = section.name
        meaningless = ELSEWHERE.get(name, frozenset()) | (frozenset() if name == "net" else _ANY_LAYER)
        used, only = USED.get(name, frozenset()), ONLY.get(name, {})
        for key in section.options:
            if key in meaningless:
                elsewhere.add(f"{name}.{key}")
            elif key not in used and key not in only:
                known = ", ".join(sorted(used | set(only)))
                raise section.error(f"{shortened(key)} is unknown; there are {known}", key)
        for key, again in section.repeated.items():
            if key in used or key in only:
                first = section.options[key]
                raise section.error(
                    f"{key} is given twice, {shortened(first.value)} here and {shortened(again.value)} in line {again.line}",
                    key,
                )
    return sorted(elsewhere)


def _check_buildable(section: Section, net: Section, classifier: bool) -> None:
    name = section.name
    if name in CLASSIFIER and not classifier:
        raise section.error("ends a classifier, which is no detector; it can be a backbone: backbone=darknet_cfg")
    if name not in USED and name not in CLASSIFIER:
        layers = ", ".join(f"[{known}]" for known in USED if known != "net")
        raise section.error(f"is no layer that can be built; there are {layers}")
    if name == "net" and section is not net:
        raise section.error("a second [net]; one file describes one network")
    only = ONLY.get(name, {})
    for key, option in section.options.items():
        if key in only and _different(option.value, only[key]):
            raise section.error(f"{key}={shortened(option.value)} is not supported, only {key}={only[key]}", key)


def _different(value: str, expected: str) -> bool:
    try:
        return float(value) != float(expected)
    except ValueError:
        return value != expected
