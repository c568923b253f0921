"""A SLEAP ≤ 1.4 model folder: its configuration together with its network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shoal_common.inference.contract import Stage
from shoal_core.errors import InvalidArgument
from shoal_serving.graphs.network import (
    CLASS_HEAD,
    CONFIDENCE_HEADS,
    OFFSETS_HEAD,
    PAF_HEAD,
    Network,
)
from shoal_serving.importing.keras_config import CONFIG_FILE, KerasConfig, read_keras_config
from shoal_serving.importing.keras_graph import WEIGHTS_FILE, read_keras_body

HEAD_CLASSES = {"pafs": PAF_HEAD, "class_maps": CLASS_HEAD}
"""Part of SLEAP's head configuration → class of the network's head (besides "confmaps")."""


@dataclass(frozen=True)
class KerasFolder:
    """One trained network and what it is for."""

    config: KerasConfig
    network: Network

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that were read."""
        return (self.config.folder / CONFIG_FILE, self.config.folder / WEIGHTS_FILE)


def find_stage_folders(folder: Path) -> tuple[Path, ...]:
    """Returns the model folders in a folder: itself, or its subfolders that are models.

    Raises:
        InvalidArgument: MODEL_FILE_MISSING when there is none.
    """
    if (folder / CONFIG_FILE).is_file():
        return (folder,)
    if not folder.is_dir():
        raise InvalidArgument(
            "MODEL_FILE_MISSING",
            f"There is no folder {folder}; give the folder that SLEAP's training made.",
            folder=folder,
        )
    stages = tuple(sorted(path.parent for path in folder.glob(f"*/{CONFIG_FILE}")))
    if not stages:
        raise InvalidArgument(
            "MODEL_FILE_MISSING",
            f"{folder} has no {CONFIG_FILE}, nor has any folder in it; give the folder that "
            "SLEAP's training made.",
            folder=folder,
        )
    return stages


def read_keras_folder(folder: Path) -> KerasFolder:
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
    model = KerasFolder(config, Network(stage, body))
    _check_heads(model)
    return model


def _check_heads(model: KerasFolder) -> None:
    """Checks that network and configuration describe the same heads."""
    config, network = model.config, model.network
    node_count = len(config.skeleton.nodes)
    confidence = CONFIDENCE_HEADS[config.stage]
    channels = {
        confidence: node_count,
        HEAD_CLASSES["pafs"]: 2 * len(config.skeleton.edges),
        HEAD_CLASSES["class_maps"]: len(config.classes),
    }
    for part, stride in config.output_strides.items():
        class_name = HEAD_CLASSES.get(part, confidence)
        head = network.head(class_name)
        _require(
            model, head.stride == stride, f"{head.name} has stride {head.stride}, not {stride}"
        )
        count = channels[class_name]
        message = f"{head.name} has {head.channels} channels, not {count}"
        _require(model, head.channels == count, message)
    offsets = network.body.find(OFFSETS_HEAD)
    if offsets is not None:
        same_grid = offsets.stride == network.confidence.stride
        message = f"{offsets.name} does not fit the confidence maps"
        _require(model, same_grid and offsets.channels == 2 * node_count, message)
    message = f"the network sees {network.body.channels} channels"
    _require(model, network.body.channels in (1, 3), message)


def _require(model: KerasFolder, holds: bool, problem: str) -> None:
    if not holds:
        folder = model.config.folder
        raise InvalidArgument(
            "MODEL_WEIGHTS_MISMATCH",
            f"{folder}: {problem}; copy {CONFIG_FILE} and {WEIGHTS_FILE} from the same training "
            "run.",
            folder=folder,
        )


def order_stages(models: Sequence[KerasFolder]) -> tuple[KerasFolder, ...]:
    """Returns the stages in the order in which they run.

    Raises:
        InvalidArgument: MODEL_KIND_UNSUPPORTED when the folders do not make one model.
    """
    names = sorted(model.config.stage for model in models)
    if len(models) == 1:
        return tuple(models)
    if names == ["centered_instance", "centroid"]:
        return tuple(sorted(models, key=lambda model: model.config.stage, reverse=True))
    raise InvalidArgument(
        "MODEL_KIND_UNSUPPORTED",
        f"Folders with {' and '.join(names)} networks make no model together; give one model, "
        "or a centroid and a centered_instance model.",
    )
