"""A SLEAP ≤ 1.4 model folder: its configuration together with its network."""

import math
from pathlib import Path

from shoal_common.inference.contract import Stage
from shoal_core.errors import InvalidArgument
from shoal_serving.graphs.network import (
    CLASS_HEAD,
    CLASS_VECTORS_HEAD,
    CONFIDENCE_HEADS,
    OFFSETS_HEAD,
    PAF_HEAD,
    Network,
)
from shoal_serving.importing.keras_config import CONFIG_FILE, KerasConfig, read_keras_config
from shoal_serving.importing.keras_graph import WEIGHTS_FILE, read_keras_body
from shoal_serving.importing.trained_model import TrainedModel

HEAD_CLASSES = {
    "pafs": PAF_HEAD,
    "class_maps": CLASS_HEAD,
    "class_vectors": CLASS_VECTORS_HEAD,
}
"""Part of SLEAP's head configuration → class of the network's head (besides "confmaps")."""


def read_keras_folder(folder: Path) -> TrainedModel:
    """Returns the model of one folder.

    The network decides about strides and offset maps; where the configuration says
    something else, the two files are not from the same training run.

    Raises:
        InvalidArgument: as `read_keras_config` and `read_keras_body`.
    """
    config = read_keras_config(folder)
    body = read_keras_body(folder)
    stage = Stage(
        name=config.stage,
        input_scale=config.input_scale,
        max_stride=math.lcm(body.max_stride, config.pad_to_stride),
        output_strides={head.name: head.stride for head in body.heads},
        refinement="offsets" if body.find(OFFSETS_HEAD) else "integral",
    )
    network = Network(stage, body)
    _check_heads(config, network)
    version = f" {config.sleap_version}" if config.sleap_version else ""
    return TrainedModel(
        network=network,
        skeleton=config.skeleton,
        classes=config.classes,
        anchor_part=config.anchor_part,
        crop_size_px=config.crop_size_px,
        source=f"SLEAP{version} (Keras)",
        files=(folder / CONFIG_FILE, folder / WEIGHTS_FILE),
        target_size_px=config.target_size_px,
    )


def _check_heads(config: KerasConfig, network: Network) -> None:
    """Checks that network and configuration describe the same heads."""
    node_count = len(config.skeleton.nodes)
    confidence = CONFIDENCE_HEADS[config.stage]
    channels = {
        confidence: node_count,
        PAF_HEAD: 2 * len(config.skeleton.edges),
        CLASS_HEAD: len(config.classes),
        CLASS_VECTORS_HEAD: len(config.classes),
    }
    for part, stride in config.output_strides.items():
        class_name = HEAD_CLASSES.get(part, confidence)
        head = network.head(class_name)
        # A vector has no stride of its own: the configuration has that of what it is made from.
        same_stride = head.stride == stride or not head.is_map
        _require(config, same_stride, f"{head.name} has stride {head.stride}, not {stride}")
        count = channels[class_name]
        message = f"{head.name} has {head.channels} channels, not {count}"
        _require(config, head.channels == count, message)
    offsets = network.body.find(OFFSETS_HEAD)
    if offsets is not None:
        same_grid = offsets.stride == network.confidence.stride
        message = f"{offsets.name} does not fit the confidence maps"
        _require(config, same_grid and offsets.channels == 2 * node_count, message)
    message = f"the network sees {network.body.channels} channels"
    _require(config, network.body.channels in (1, 3), message)


def _require(config: KerasConfig, holds: bool, problem: str) -> None:
    if not holds:
        folder = config.folder
        raise InvalidArgument(
            "MODEL_WEIGHTS_MISMATCH",
            f"{folder}: {problem}; copy {CONFIG_FILE} and {WEIGHTS_FILE} from the same training "
            "run.",
            folder=folder,
        )
