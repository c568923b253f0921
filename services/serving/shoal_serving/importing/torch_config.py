"""What a sleap-nn model was trained for, read from `training_config.yaml`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shoal_core.errors import InvalidArgument
from shoal_core.skeleton import Skeleton
from shoal_serving.graphs.network import CLASS_HEAD, CONFIDENCE_HEADS, PAF_HEAD

CONFIG_FILE = "training_config.yaml"

STAGE_NAMES = {
    "single_instance": "single_instance",
    "centroid": "centroid",
    "centered_instance": "centered_instance",
    "bottomup": "bottomup",
    "multi_class_bottomup": "multiclass_bottomup",
}
"""Key of the head in sleap-nn's configuration → name of the stage here."""


_UNREADABLE = (
    AttributeError,
    LookupError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    yaml.YAMLError,
)
"""What files that are no configuration raise."""


@dataclass(frozen=True)
class TorchHead:
    """One head of the network, in the order of `model.head_layers`."""

    index: int
    class_name: str
    channels: int
    stride: int

    @property
    def name(self) -> str:
        """Name of the maps, for example "CentroidConfmapsHead_0"."""
        return f"{self.class_name}_{self.index}"


@dataclass(frozen=True)
class UNetConfig:
    """The backbone as configured."""

    kernel_size: int
    max_stride: int
    output_stride: int
    convs_per_block: int
    up_interpolate: bool


@dataclass(frozen=True)
class TorchConfig:
    """The parts of sleap-nn's configuration that serving needs."""

    folder: Path
    stage: str
    skeleton: Skeleton
    """Nodes in the order of the head's channels; of a centroid model: its one point."""
    classes: tuple[str, ...]
    anchor_part: str | None
    input_scale: float
    crop_size_px: int | None
    unet: UNetConfig
    heads: tuple[TorchHead, ...]
    sleap_nn_version: str
    """Empty where the file does not say."""

    @property
    def sees_bgr(self) -> bool:
        """Whether colour frames were blue, green, red in training, as OpenCV reads them.

        So it is in the colour model of version 0.0.1 that was measured; later versions are
        taken to see red, green, blue.
        """
        return self.sleap_nn_version.startswith("0.0.")


def read_torch_config(folder: Path) -> TorchConfig:
    """Returns what a model folder's configuration says.

    Raises:
        InvalidArgument: MODEL_FILE_MISSING, MODEL_CONFIG_INVALID (no YAML, or a key is missing)
            or MODEL_KIND_UNSUPPORTED (a kind of model or backbone that is not imported).
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise InvalidArgument(
            "MODEL_FILE_MISSING",
            f"{folder} has no {CONFIG_FILE}; give the folder that sleap-nn's training made.",
            file=path,
        )
    try:
        return _parse(folder, yaml.safe_load(path.read_bytes()))
    except _UNREADABLE as error:
        problem = " ".join(str(error).split())
        raise InvalidArgument(
            "MODEL_CONFIG_INVALID",
            f"{path} cannot be read ({type(error).__name__}: {problem}); copy it from the "
            "training run again.",
            file=path,
        ) from error


def _parse(folder: Path, config: Mapping[str, Any]) -> TorchConfig:
    model = config["model_config"]
    kind, head = _only_one(folder, "head", model["head_configs"])
    if kind not in STAGE_NAMES:
        raise _unsupported(
            folder, f"is a model of kind {kind!r}", f"one of {', '.join(STAGE_NAMES)}"
        )
    preprocessing = config["data_config"]["preprocessing"]
    skeleton = _skeleton(config["data_config"], kind, head)
    classes = tuple(map(str, head["class_maps"]["classes"])) if "class_maps" in head else ()
    return TorchConfig(
        folder=folder,
        stage=STAGE_NAMES[kind],
        skeleton=skeleton,
        classes=classes,
        anchor_part=head["confmaps"].get("anchor_part"),
        input_scale=_positive(preprocessing["scale"]),
        crop_size_px=_crop_size(folder, kind, preprocessing),
        unet=_unet(folder, model["backbone_config"]),
        heads=_heads(STAGE_NAMES[kind], head, skeleton, classes),
        sleap_nn_version=str(config.get("sleap_nn_version") or ""),
    )


def _only_one(folder: Path, what: str, choices: Mapping[str, Any]) -> tuple[str, Any]:
    chosen = [(name, choice) for name, choice in choices.items() if choice is not None]
    if len(chosen) != 1:
        raise ValueError(f"{len(chosen)} {what}s are configured")
    return chosen[0]


def _unsupported(folder: Path, problem: str, cure: str) -> InvalidArgument:
    return InvalidArgument(
        "MODEL_KIND_UNSUPPORTED",
        f"{folder} {problem}, which cannot be imported; give {cure}.",
        folder=folder,
    )


def _unet(folder: Path, backbones: Mapping[str, Any]) -> UNetConfig:
    name, unet = _only_one(folder, "backbone", backbones)
    if name != "unet":
        raise _unsupported(folder, f"has a {name!r} backbone", "a model with a UNet backbone")
    plain = {"stem_stride": None, "middle_block": True, "stacks": 1}
    for key, value in plain.items():
        if unet.get(key, value) != value:
            raise _unsupported(
                folder, f"has a UNet with {key} {unet[key]!r}", f"one trained with {key} {value!r}"
            )
    kernel_size = int(unet["kernel_size"])
    up_interpolate = bool(unet["up_interpolate"])
    if kernel_size % 2 == 0 or (kernel_size != 3 and not up_interpolate):
        raise _unsupported(
            folder, f"has a UNet with kernel_size {kernel_size}", "one trained with kernel_size 3"
        )
    return UNetConfig(
        kernel_size=kernel_size,
        max_stride=_power_of_two(unet["max_stride"]),
        output_stride=_power_of_two(unet["output_stride"]),
        convs_per_block=int(_positive(unet.get("convs_per_block", 2))),
        up_interpolate=up_interpolate,
    )


def _positive(number: Any) -> float:
    if not 0 < float(number) < math.inf:
        raise ValueError(f"{number} is no positive number")
    return float(number)


def _power_of_two(stride: Any) -> int:
    if int(stride) < 1 or int(stride).bit_count() != 1:
        raise ValueError(f"stride {stride} is no power of two")
    return int(stride)


def _crop_size(folder: Path, kind: str, preprocessing: Mapping[str, Any]) -> int | None:
    if kind != "centered_instance":
        return None
    if preprocessing.get("crop_size") is None:
        raise InvalidArgument(
            "MODEL_CONFIG_INVALID",
            f"{folder}/{CONFIG_FILE} has no data_config.preprocessing.crop_size; give the folder "
            "of the finished training, not the profile it started from.",
            folder=folder,
        )
    return int(_positive(preprocessing["crop_size"]))


def _heads(
    stage: str, head: Mapping[str, Any], skeleton: Skeleton, classes: tuple[str, ...]
) -> tuple[TorchHead, ...]:
    parts = {
        "confmaps": (CONFIDENCE_HEADS[stage], len(skeleton.nodes)),
        "pafs": (PAF_HEAD, 2 * len(skeleton.edges)),
        "class_maps": (CLASS_HEAD, len(classes)),
    }
    return tuple(
        TorchHead(index, *parts[part], _power_of_two(head[part]["output_stride"]))
        for index, part in enumerate(part for part in parts if part in head)
    )


def _skeleton(data: Mapping[str, Any], kind: str, head: Mapping[str, Any]) -> Skeleton:
    """Returns the skeleton of the head's nodes.

    Edges and symmetries between nodes that the head does not have are left out.
    """
    graph = (data.get("skeletons") or [{}])[0]
    name = str(graph.get("name") or "skeleton")
    if kind == "centroid":
        return Skeleton(name=name, nodes=(head["confmaps"].get("anchor_part") or "centroid",))
    parts = head["confmaps"].get("part_names")
    nodes = tuple(_name(node) for node in parts or graph["nodes"])
    edges = [(_name(edge["source"]), _name(edge["destination"])) for edge in graph.get("edges", [])]
    if kind == "bottomup":
        edges = head["pafs"].get("edges") or edges
    symmetries = [[_name(node) for node in pair] for pair in graph.get("symmetries") or []]
    found = {(min(a, b), max(a, b)) for a, b in _indices(nodes, symmetries)}
    return Skeleton(
        name=name, nodes=nodes, edges=tuple(_indices(nodes, edges)), symmetries=tuple(sorted(found))
    )


def _indices(nodes: tuple[str, ...], pairs: list[Any]) -> list[tuple[int, int]]:
    return [(nodes.index(a), nodes.index(b)) for a, b in pairs if a in nodes and b in nodes]


def _name(node: Any) -> str:
    return str(node["name"] if isinstance(node, dict) else node)
