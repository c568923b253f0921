"""A model folder for sleap-nn (0.3): `training_config.yaml` and the weights in `best.ckpt`.

sleap-nn has fewer networks than Shoal: what it would compute otherwise is refused. It has no
OffsetRefinementHead, which is left out: peaks are then refined by integral refinement.
"""

import io
import re
from collections.abc import Mapping
from pathlib import Path

import torch
import yaml
from torch import Tensor

from shoal_core.errors import InvalidArgument
from shoal_training.config import TrainingConfig, UNetConfig
from shoal_training.durable import write_durably
from shoal_training.export.sleap_nn_config import sleap_nn_config
from shoal_training.heads import OFFSETS_HEAD
from shoal_training.model_spec import ModelSpec
from shoal_training.networks import PoseNetwork

CONFIG_FILE = "training_config.yaml"
WEIGHTS_FILE = "best.ckpt"


def export_sleap_nn(
    network: PoseNetwork, config: TrainingConfig, spec: ModelSpec, folder: Path
) -> None:
    """Writes both files into a folder, which is made where it is not there.

    Args:
        network: The trained network.
        config: The run's resolved configuration.
        spec: What the network is.
        folder: Where to.

    Raises:
        InvalidArgument: EXPORT_UNSUPPORTED when sleap-nn has no such network.
        ResourceExhausted: DISK_FULL when there is no room.
    """
    unet = _checked(config)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    document = sleap_nn_config(config, unet, spec, parameters)
    file = io.BytesIO()
    checkpoint = {
        "state_dict": _state(network, unet),
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": "2.0.0",
    }
    torch.save(checkpoint, file)
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(folder / WEIGHTS_FILE, file.getvalue())
    write_durably(folder / CONFIG_FILE, yaml.safe_dump(document, sort_keys=False).encode())


def _checked(config: TrainingConfig) -> UNetConfig:
    """Returns the network's configuration, or raises where sleap-nn computes something else."""
    network = config.network
    if not isinstance(network, UNetConfig):
        raise _unsupported(f"a {network.type} network", "network.type unet")
    if network.upsampling != "bilinear":
        # sleap-nn cuts the first row and column of what a transposed convolution makes, SLEAP
        # and Shoal the last.
        raise _unsupported("transposed convolutions of SLEAP's kind", "network.upsampling bilinear")
    if (network.stem_stride, network.stacks) != (1, 1):
        raise _unsupported("this stem or stacks", "network.stem_stride 1 and network.stacks 1")
    if network.skip != "concatenate" or network.convolutions_per_block != 2:
        raise _unsupported(
            "such blocks", "network.skip concatenate and network.convolutions_per_block 2"
        )
    if config.heads.confmaps.loss != "mse":
        raise _unsupported(f"{config.heads.confmaps.loss} maps", "heads.confmaps.loss mse")
    vectors = config.heads.class_vectors
    if vectors is not None and len(set(vectors.layers)) > 1:
        raise _unsupported("dense layers of several widths", "equal heads.class_vectors.layers")
    return network


def _unsupported(what: str, cure: str) -> InvalidArgument:
    return InvalidArgument(
        "EXPORT_UNSUPPORTED",
        f"sleap-nn has no network with {what}; train one with {cure}, or import the model folder "
        "into Shoal.",
        what=what,
    )


def _state(network: PoseNetwork, unet: UNetConfig) -> dict[str, Tensor]:
    """Returns the weights under sleap-nn's names, in the order of the heads."""
    heads = [head.name for head in network.heads if head.name != OFFSETS_HEAD]
    renames = {**_backbone_names(unet), **_head_names(heads)}
    state = {}
    for key, tensor in network.state_dict().items():
        layer, _, part = key.rpartition(".")
        if f".{OFFSETS_HEAD}." not in key:
            state[f"model.{_renamed(layer, renames)}.{part}"] = tensor.detach().cpu().float()
    return state


def _renamed(layer: str, renames: Mapping[str, str]) -> str:
    for pattern, name in renames.items():
        found = re.fullmatch(pattern, layer)
        if found:
            return found.expand(name)
    raise AssertionError(f"{layer} has no name in sleap-nn")


def _backbone_names(unet: UNetConfig) -> dict[str, str]:
    """Returns patterns of Shoal's layers → templates of sleap-nn's.

    The middle block's layers are numbered on from the encoder's blocks and its last pooling.
    """
    depth = unet.max_stride.bit_length() - 1
    middle, expand, contract = r"backbone\.stacks\.0\.middle\.conv", depth + 1, depth + 2
    names = {
        r"backbone\.stacks\.0\.encoder\.(\d+)\.conv(\d+)": (
            r"backbone.encoders.0.encoder_stack.\1.blocks.stack0_enc\1_conv\2"
        ),
        f"{middle}0": f"backbone.middle_blocks.0.blocks.stack0_enc{expand}_middle_expand_conv0",
        f"{middle}1": f"backbone.middle_blocks.1.blocks.stack0_enc{contract}_middle_contract_conv0",
    }
    stride, block = unet.max_stride, 0
    while stride > unet.output_stride:
        layer = f"stack0_dec{block}_s{stride}_to_s{stride // 2}_refine_conv"
        names[rf"backbone\.stacks\.0\.decoder\.blocks\.{block}\.refine\.conv(\d+)"] = (
            rf"backbone.decoders.0.decoder_stack.{block}.blocks.{layer}\1"
        )
        stride, block = stride // 2, block + 1
    return names


def _head_names(heads: list[str]) -> dict[str, str]:
    names = {}
    for index, head in enumerate(heads):
        mine, theirs = rf"head_layers\.0\.{head}", f"head_layers.{index}"
        names[rf"{mine}\.conv"] = f"{theirs}.{head}.0"
        names[rf"{mine}\.last"] = f"{theirs}.{head}"
        for layer in range(16):
            # Dense layers and their ReLU take turns.
            names[rf"{mine}\.layers\.{2 * layer}"] = f"{theirs}.pre_classification{layer}_fc"
    return names
