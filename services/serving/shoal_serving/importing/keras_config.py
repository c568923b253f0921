"""What a SLEAP ≤ 1.4 model was trained for, read from `training_config.json`."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal_common.inference.contract import CROP_STAGES
from shoal_core.errors import InvalidArgument
from shoal_core.skeleton import Skeleton
from shoal_serving.importing.config_numbers import positive

CONFIG_FILE = "training_config.json"

STAGE_NAMES = {
    "single_instance": "single_instance",
    "centroid": "centroid",
    "centered_instance": "centered_instance",
    "multi_instance": "bottomup",
    "multi_class_bottomup": "multiclass_bottomup",
    "multi_class_topdown": "multiclass_centered_instance",
}
"""Key of the head in SLEAP's configuration → name of the stage here."""

_UNREADABLE = (
    AttributeError,
    LookupError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What files that are no configuration raise."""


@dataclass(frozen=True)
class KerasConfig:
    """The parts of SLEAP's configuration that serving needs."""

    folder: Path
    stage: str
    """One of the values of `STAGE_NAMES`."""
    skeleton: Skeleton
    """Nodes in the order of the head's channels; of a centroid model: its one point."""
    classes: tuple[str, ...]
    """Identities in the order of the class maps' channels, or of the class vectors."""
    anchor_part: str | None
    input_scale: float
    target_size_px: tuple[int, int] | None
    """(height, width) that training scaled all frames to fit in; None: they kept their size."""
    pad_to_stride: int
    crop_size_px: int | None
    output_strides: Mapping[str, int]
    """Part of the head ("confmaps", "pafs", "class_maps", "class_vectors") → stride."""
    offset_refinement: bool
    sleap_version: str
    """Empty where the file does not say."""


def read_keras_config(folder: Path) -> KerasConfig:
    """Returns what a model folder's configuration says.

    Raises:
        InvalidArgument: MODEL_FILE_MISSING, MODEL_CONFIG_INVALID (no JSON, or a key is
            missing) or MODEL_KIND_UNSUPPORTED (a kind of model or preprocessing that is not
            imported).
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise InvalidArgument(
            "MODEL_FILE_MISSING",
            f"{folder} has no {CONFIG_FILE}; give the folder that SLEAP's training made.",
            file=path,
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return _parse(folder, config)
    except _UNREADABLE as error:
        raise InvalidArgument(
            "MODEL_CONFIG_INVALID",
            f"{path} cannot be read ({type(error).__name__}: {error}); copy it from the "
            "training run again.",
            file=path,
        ) from error


def _parse(folder: Path, config: Mapping[str, Any]) -> KerasConfig:
    preprocessing = config["data"]["preprocessing"]
    if preprocessing.get("imagenet_mode") is not None:
        raise InvalidArgument(
            "MODEL_KIND_UNSUPPORTED",
            f"{folder} was trained with imagenet_mode {preprocessing['imagenet_mode']!r}, which "
            "cannot be imported; train it without a pretrained encoder.",
            folder=folder,
        )
    kind, head = _head(folder, config["model"]["heads"])
    maps = head.get("confmaps", head)
    # Training cuts and centres by the former; the latter is what the head was named after.
    anchor = config["data"]["instance_cropping"].get("center_on_part") or maps.get("anchor_part")
    return KerasConfig(
        folder=folder,
        stage=STAGE_NAMES[kind],
        skeleton=_skeleton(config, kind, head, anchor),
        classes=_classes(head),
        anchor_part=anchor,
        input_scale=positive(preprocessing["input_scaling"]),
        target_size_px=_target_size(preprocessing),
        pad_to_stride=int(preprocessing.get("pad_to_stride") or 1),
        crop_size_px=_crop_size(folder, STAGE_NAMES[kind], config["data"]),
        output_strides={
            key: int(part["output_stride"])
            for key, part in {"confmaps": maps, **head}.items()
            if isinstance(part, dict)
        },
        offset_refinement=bool(maps.get("offset_refinement", False)),
        sleap_version=str(config.get("sleap_version") or ""),
    )


def _head(folder: Path, heads: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    trained = {kind: head for kind, head in heads.items() if head is not None}
    if len(trained) != 1:
        raise ValueError(f"{len(trained)} heads are configured")
    ((kind, head),) = trained.items()
    if kind not in STAGE_NAMES:
        known = ", ".join(STAGE_NAMES)
        raise InvalidArgument(
            "MODEL_KIND_UNSUPPORTED",
            f"{folder} is a model of kind {kind!r}, which cannot be imported; give one of {known}.",
            folder=folder,
            kind=kind,
        )
    return kind, head


def _target_size(preprocessing: Mapping[str, Any]) -> tuple[int, int] | None:
    """Returns the size that training has found; without one, a video's own size is its target."""
    height, width = preprocessing.get("target_height"), preprocessing.get("target_width")
    if not preprocessing.get("resize_and_pad_to_target") or height is None or width is None:
        return None
    return int(positive(height)), int(positive(width))


def _classes(head: Mapping[str, Any]) -> tuple[str, ...]:
    for part in ("class_maps", "class_vectors"):
        if part in head:
            return tuple(map(str, head[part]["classes"]))
    return ()


def _crop_size(folder: Path, stage: str, data: Mapping[str, Any]) -> int | None:
    """Returns the side of crops in full-frame pixels.

    The configuration counts pixels of the scaled frame, because training scales before it
    cuts. SLEAP's inference cuts the same number of unscaled pixels and scales afterwards, so
    that its network sees less of the animal than in training; imported models do not.
    """
    if stage not in CROP_STAGES:
        return None
    crop_size = data["instance_cropping"].get("crop_size")
    if crop_size is None:
        raise InvalidArgument(
            "MODEL_CONFIG_INVALID",
            f"{folder}/{CONFIG_FILE} has no data.instance_cropping.crop_size; give the folder of "
            "the finished training, not the profile it started from.",
            folder=folder,
        )
    return math.ceil(positive(crop_size) / positive(data["preprocessing"]["input_scaling"]))


def _skeleton(
    config: Mapping[str, Any], kind: str, head: Mapping[str, Any], anchor: str | None
) -> Skeleton:
    """Returns the skeleton of the head's nodes.

    Edges and symmetries between nodes that the head does not have are left out.
    """
    graphs = config["data"]["labels"].get("skeletons") or []
    name = graphs[0]["graph"].get("name", "skeleton") if graphs else "skeleton"
    if kind == "centroid":
        return Skeleton(name=name, nodes=(anchor or "centroid",))
    nodes = tuple(head.get("confmaps", head)["part_names"])
    links = _links(graphs[0]) if graphs else {1: [], 2: []}
    edges = head["pafs"]["edges"] if kind == "multi_instance" else links[1]
    return Skeleton(
        name=name,
        nodes=nodes,
        edges=_indices(nodes, edges),
        symmetries=tuple(sorted({(min(pair), max(pair)) for pair in _indices(nodes, links[2])})),
    )


def _indices(nodes: tuple[str, ...], pairs: Sequence[Sequence[str]]) -> tuple[tuple[int, int], ...]:
    return tuple((nodes.index(a), nodes.index(b)) for a, b in pairs if a in nodes and b in nodes)


def _links(graph: Mapping[str, Any]) -> dict[int, list[tuple[str, str]]]:
    """Returns node names of the links: 1 → edges in order, 2 → symmetries.

    The skeleton is jsonpickle of a graph: objects are written out where they first occur and
    referred to by their running number ("py/id") afterwards.
    """
    objects: list[str | int] = []

    def restore(item: Mapping[str, Any]) -> str | int:
        if "py/id" in item:
            return objects[int(item["py/id"]) - 1]
        if "py/object" in item:
            objects.append(_node_name(item))
        else:
            objects.append(int(item["py/reduce"][1]["py/tuple"][0]))
        return objects[-1]

    found: dict[int, list[tuple[int, str, str]]] = {1: [], 2: []}
    for link in graph["links"]:
        # Numbers are given in the order of the file.
        restored = {key: restore(link[key]) for key in link if key in ("source", "target", "type")}
        order = int(link.get("edge_insert_idx", len(found[1])))
        ends = (order, str(restored["source"]), str(restored["target"]))
        found[int(restored["type"])].append(ends)
    return {kind: [ends[1:] for ends in sorted(links)] for kind, links in found.items()}


def _node_name(item: Mapping[str, Any]) -> str:
    state: Mapping[str, Any] | Sequence[Any] = item.get("py/state", item)
    if isinstance(state, Mapping) and "py/tuple" in state:
        return str(state["py/tuple"][0])
    if isinstance(state, Mapping):
        return str(state["name"])
    return str(state[0])
