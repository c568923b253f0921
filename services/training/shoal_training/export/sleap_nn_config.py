"""What sleap-nn is told about a network: the contents of its `training_config.yaml`."""

from typing import Any

from shoal_training.config import (
    HardMining,
    ModelKind,
    OptimizationConfig,
    TrainingConfig,
    UNetConfig,
)
from shoal_training.model_spec import ModelSpec

SLEAP_NN_VERSION = "0.3.5"
"""The version whose keys are written."""

KINDS: dict[ModelKind, str] = {
    "single_instance": "single_instance",
    "centroid": "centroid",
    "centered_instance": "centered_instance",
    "bottomup": "bottomup",
    "multiclass_bottomup": "multi_class_bottomup",
    "multiclass_centered_instance": "multi_class_topdown",
}
"""Kind → its key in `head_configs`."""

Fields = dict[str, Any]


def sleap_nn_config(
    config: TrainingConfig, unet: UNetConfig, spec: ModelSpec, parameter_count: int
) -> Fields:
    """Returns the document; what inference has no use for keeps sleap-nn's defaults.

    Args:
        config: The run's resolved configuration.
        unet: Its network.
        spec: What the network is.
        parameter_count: For people.
    """
    kind = KINDS[spec.kind]
    heads = dict.fromkeys(KINDS.values())
    return {
        "name": config.name,
        "description": "trained by Shoal",
        "sleap_nn_version": SLEAP_NN_VERSION,
        "data_config": _data(spec),
        "model_config": {
            "init_weights": "xavier",
            "backbone_config": {"unet": _unet(unet, spec), "convnext": None, "swint": None},
            "head_configs": {**heads, kind: _heads(config, spec)},
            "total_params": parameter_count,
        },
        "trainer_config": _trainer(config.optimization),
    }


def _trainer(optimization: OptimizationConfig) -> Fields:
    """Returns what sleap-nn asks for even where it only infers."""
    optimizer, mining = optimization.optimizer, optimization.hard_mining or HardMining()
    return {
        "max_epochs": optimization.epochs,
        "optimizer_name": "Adam" if optimizer.type == "adam" else "AdamW",
        "optimizer": {"lr": optimizer.learning_rate, "amsgrad": optimizer.amsgrad},
        "lr_scheduler": None,
        "online_hard_keypoint_mining": {
            "online_mining": optimization.hard_mining is not None,
            "hard_to_easy_ratio": mining.hard_to_easy_ratio,
            "min_hard_keypoints": mining.min_hard_nodes,
            "max_hard_keypoints": mining.max_hard_nodes,
            "loss_scale": mining.loss_scale,
        },
    }


def _data(spec: ModelSpec) -> Fields:
    skeleton = spec.skeleton
    nodes = skeleton.nodes
    return {
        "train_labels_path": [],
        "preprocessing": {
            "ensure_rgb": spec.channels == 3,
            "ensure_grayscale": spec.channels == 1,
            "max_height": None,
            "max_width": None,
            "scale": spec.input_scale,
            "crop_size": spec.crop_size_px,
            "min_crop_size": None,
        },
        "skeletons": [
            {
                "name": skeleton.name,
                "nodes": [{"name": node} for node in nodes],
                "edges": [
                    {"source": {"name": nodes[source]}, "destination": {"name": nodes[end]}}
                    for source, end in skeleton.edges
                ],
                "symmetries": [
                    [{"name": nodes[left]}, {"name": nodes[right]}]
                    for left, right in skeleton.symmetries
                ],
            }
        ],
    }


def _unet(unet: UNetConfig, spec: ModelSpec) -> Fields:
    return {
        "in_channels": spec.channels,
        "kernel_size": 3,
        "filters": unet.filters,
        "filters_rate": unet.filters_rate,
        "max_stride": unet.max_stride,
        "stem_stride": None,
        "middle_block": unet.middle_block,
        "up_interpolate": True,
        "stacks": 1,
        "convs_per_block": unet.convolutions_per_block,
        "output_stride": unet.output_stride,
    }


def _heads(config: TrainingConfig, spec: ModelSpec) -> Fields:
    """Returns the parts of the kind's head, the confidence maps first."""
    heads, skeleton = config.heads, spec.skeleton
    confmaps: Fields = {
        "sigma": heads.confmaps.sigma_map_px,
        "output_stride": heads.confmaps.output_stride,
    }
    if spec.kind != "centroid":
        confmaps["part_names"] = list(skeleton.nodes)
    if spec.sees_crops or spec.kind == "centroid":
        confmaps["anchor_part"] = spec.anchor_part
    if spec.kind in ("bottomup", "multiclass_bottomup", "multiclass_centered_instance"):
        confmaps["loss_weight"] = heads.confmaps.loss_weight
    parts: Fields = {"confmaps": confmaps}
    if spec.kind == "bottomup" and heads.pafs is not None:
        nodes = skeleton.nodes
        parts["pafs"] = {
            "edges": [[nodes[source], nodes[end]] for source, end in skeleton.edges],
            "sigma": heads.pafs.sigma_px,
            "output_stride": heads.pafs.output_stride,
            "loss_weight": heads.pafs.loss_weight,
        }
    if spec.kind == "multiclass_bottomup" and heads.class_maps is not None:
        parts["class_maps"] = {
            "classes": list(spec.classes),
            "sigma": heads.class_maps.radius_map_px,
            "output_stride": heads.class_maps.output_stride,
            "loss_weight": heads.class_maps.loss_weight,
        }
    if spec.kind == "multiclass_centered_instance" and heads.class_vectors is not None:
        layers = heads.class_vectors.layers
        parts["class_vectors"] = {
            "classes": list(spec.classes),
            "num_fc_layers": len(layers),
            "num_fc_units": layers[0] if layers else 1,
            "global_pool": True,
            "output_stride": spec.max_stride,
            "loss_weight": heads.class_vectors.loss_weight,
        }
    return parts
