"""A model folder of Shoal's own training: its configuration together with its network.

The network is taken as it is: `network.onnx` becomes a part of the served chain, and is copied
into the composed graph. The format is described in services/training/README.md.
"""

from pathlib import Path

from shoal_common.inference.contract import CROP_STAGES, Stage
from shoal_core.errors import InvalidArgument
from shoal_serving.graphs.body import Body, Head
from shoal_serving.graphs.network import (
    CLASS_HEAD,
    CLASS_VECTORS_HEAD,
    CONFIDENCE_HEADS,
    OFFSETS_HEAD,
    PAF_HEAD,
    Network,
)
from shoal_serving.importing.onnx_network import OnnxNetwork
from shoal_serving.importing.parity_frames import read_parity_frames
from shoal_serving.importing.shoal_config import ShoalConfig, read_shoal_config
from shoal_serving.importing.shoal_files import CONFIG_FILE, NETWORK_FILE, PARITY_FILE
from shoal_serving.importing.trained_model import TrainedModel

STAGE_HEADS = {
    "bottomup": PAF_HEAD,
    "multiclass_bottomup": CLASS_HEAD,
    "multiclass_centered_instance": CLASS_VECTORS_HEAD,
}
"""Stage name → head that it has beside the confidence maps."""


def read_shoal_folder(folder: Path) -> TrainedModel:
    """Returns the model of one folder, with the frames that it is checked on.

    Raises:
        InvalidArgument: as `read_shoal_config`, `OnnxNetwork` and `read_parity_frames`;
            MODEL_CONFIG_INVALID when the heads are not those of the kind.
    """
    config = read_shoal_config(folder)
    _check_heads(config)
    network = OnnxNetwork(folder / NETWORK_FILE, config.channels, config.heads)
    stage = Stage(
        name=config.stage,
        input_scale=config.input_scale,
        max_stride=config.max_stride,
        output_strides={head.name: head.stride for head in config.heads},
        refinement=config.refinement,
        antialias=config.antialias,
    )
    return TrainedModel(
        network=Network(
            stage, Body(config.channels, config.max_stride, config.heads, network.emit)
        ),
        skeleton=config.skeleton,
        classes=config.classes,
        anchor_part=config.anchor_part,
        crop_size_px=config.crop_size_px,
        source=config.software,
        files=tuple(folder / name for name in (CONFIG_FILE, NETWORK_FILE, PARITY_FILE)),
        peak_threshold=config.peak_threshold,
        scores_nodes=config.stage in CROP_STAGES,
        parity_frames=read_parity_frames(folder / PARITY_FILE, config),
    )


def _check_heads(config: ShoalConfig) -> None:
    """Checks that the heads are those of the kind, and fit skeleton and classes."""
    node_count, edge_count = len(config.skeleton.nodes), len(config.skeleton.edges)
    confidence = CONFIDENCE_HEADS[config.stage]
    channels = {
        confidence: node_count,
        OFFSETS_HEAD: 2 * node_count,
        PAF_HEAD: 2 * edge_count,
        CLASS_HEAD: len(config.classes),
        CLASS_VECTORS_HEAD: len(config.classes),
    }
    expected = {confidence}
    if config.stage in STAGE_HEADS:
        expected.add(STAGE_HEADS[config.stage])
    if config.refinement == "offsets":
        expected.add(OFFSETS_HEAD)
    heads = {head.name: head for head in config.heads}
    if set(heads) != expected or len(heads) != len(config.heads):
        found = ", ".join(sorted(head.name for head in config.heads))[:200] or "none"
        raise _contradiction(config, f"the heads are {found}, not {', '.join(sorted(expected))}")
    if bool(config.classes) != config.stage.startswith("multiclass"):
        raise _contradiction(config, f"there are {len(config.classes)} classes")
    for head in config.heads:
        _check_head(config, head, channels[head.name])
    offsets = heads.get(OFFSETS_HEAD)
    if offsets is not None and offsets.stride != heads[confidence].stride:
        raise _contradiction(config, f"{OFFSETS_HEAD} does not lie on the confidence maps")


def _check_head(config: ShoalConfig, head: Head, channels: int) -> None:
    if head.channels != channels:
        problem = f"{head.name} has {head.channels} channels, not {channels}"
        raise _contradiction(config, problem)
    if head.is_map != (head.name != CLASS_VECTORS_HEAD):
        raise _contradiction(config, f"is_map of {head.name} is {head.is_map}")
    if head.is_map and config.max_stride % head.stride:
        problem = f"{head.name} has stride {head.stride}, the network {config.max_stride} at most"
        raise _contradiction(config, problem)


def _contradiction(config: ShoalConfig, problem: str) -> InvalidArgument:
    path = config.folder / CONFIG_FILE
    return InvalidArgument(
        "MODEL_CONFIG_INVALID",
        f"{path} contradicts itself for kind {config.stage}: {problem}; copy it from the "
        "training run again.",
        file=path,
    )
