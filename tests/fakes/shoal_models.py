"""Model folders as Shoal's training writes them, whose networks see by arithmetic.

On a gray ground, a node is a Gaussian spot: the head's raises red (in a female) or green (in a
male), the tail's raises blue and lowers green (female) or red (male). Every head is a 1×1
convolution on every second pixel, so spots on even pixels are found where they were drawn.
Animals look to the left: tail = head + (24, 0).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

NODES = ("head", "tail")
CLASSES = ("female", "male")
TAIL_PX = np.array([24, 0], np.float32)
HEADS_PX = np.array([[[40, 40], [60, 120]], [[100, 50], [30, 90]]], np.float32)
"""Heads [F, I, 2]; in each frame a female, then a male."""
CROP_SIZE_PX = 65
GROUND = 128 / 255

_MAPS: Mapping[str, tuple[Sequence[Sequence[float]], Sequence[float], str | None]] = {
    "SingleInstanceConfmapsHead": (
        ((2, 2, 0), (0, 0, 2)),
        (-4 * GROUND, -2 * GROUND),
        "Relu",
    ),
    "CentroidConfmapsHead": (((2, 2, 0),), (-4 * GROUND,), "Relu"),
    "PartAffinityFieldsHead": (((0, 0, 0), (0, 0, 0)), (1, 0), None),
    "ClassMapsHead": (((90, -90, 0), (-90, 90, 0)), (0, 0), "Sigmoid"),
    "OffsetRefinementHead": (((0, 0, 0),) * 4, (0.25, 0.5, -0.25, 0), None),
}
"""Head → weights [channels, RGB], bias, activation."""
for _name in ("CenteredInstanceConfmapsHead", "MultiInstanceConfmapsHead"):
    _MAPS = {**_MAPS, _name: _MAPS["SingleInstanceConfmapsHead"]}

KIND_HEADS = {
    "single_instance": ("SingleInstanceConfmapsHead",),
    "centroid": ("CentroidConfmapsHead",),
    "centered_instance": ("CenteredInstanceConfmapsHead",),
    "bottomup": ("MultiInstanceConfmapsHead", "PartAffinityFieldsHead"),
    "multiclass_bottomup": ("MultiInstanceConfmapsHead", "ClassMapsHead"),
    "multiclass_centered_instance": ("CenteredInstanceConfmapsHead", "ClassVectorsHead"),
}


def images(heads_px_FI2: NDArray[np.float32] = HEADS_PX) -> NDArray[np.uint8]:
    """Frames [F, 160, 160, 3] with a female and a male each."""
    y, x = np.mgrid[:160, :160]
    pixels = np.full((len(heads_px_FI2), 160, 160, 3), 128.0)
    for frame, heads in enumerate(heads_px_FI2):
        for sex, head in enumerate(heads):
            for (left, top), gains in (
                (head, np.eye(3)[sex]),
                (head + TAIL_PX, np.eye(3)[2] - np.eye(3)[1 - sex]),
            ):
                spot = np.exp(-((x - left) ** 2 + (y - top) ** 2) / (2 * 4.0**2))
                pixels[frame] += 127 * gains * spot[..., None]
    return pixels.round().clip(0, 255).astype(np.uint8)


def network(heads: Sequence[str], **changes: Any) -> bytes:
    """`network.onnx` with the given heads; changes go to `helper.make_model`."""
    nodes, outputs, constants = [], [], []
    for name in heads:
        weights, bias, activation = _MAPS.get(name, _MAPS["ClassMapsHead"])
        kernel = np.array(weights, np.float32)[:, :, None, None]
        constants += [
            numpy_helper.from_array(kernel, f"{name}.weight"),
            numpy_helper.from_array(np.array(bias, np.float32), f"{name}.bias"),
        ]
        linear = f"{name}.linear"
        nodes.append(
            helper.make_node(
                "Conv", ["input", f"{name}.weight", f"{name}.bias"], [linear], strides=[2, 2]
            )
        )
        shape: list[int | str] = ["B", len(kernel), f"{name}_h", f"{name}_w"]
        if name == "ClassVectorsHead":
            nodes += [
                helper.make_node("GlobalMaxPool", [linear], [f"{name}.pooled"]),
                helper.make_node("Flatten", [f"{name}.pooled"], [f"{name}.flat"]),
                helper.make_node("Softmax", [f"{name}.flat"], [name]),
            ]
            shape = ["B", len(kernel)]
        else:
            nodes.append(helper.make_node(activation or "Identity", [linear], [name]))
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["B", 3, "H", "W"])
    graph = helper.make_graph(nodes, "network", [source], outputs, constants)
    options = {"opset_imports": [helper.make_opsetid("", 18)], "ir_version": 10, **changes}
    return bytes(helper.make_model(graph, **options).SerializeToString())


def description(kind: str, **changes: Any) -> dict[str, Any]:
    """The contents of `shoal_model.json`."""
    sees_crops = kind.endswith("centered_instance")
    names = (*KIND_HEADS[kind], *changes.pop("more_heads", ()))
    return {
        "format": "shoal-model",
        "version": 1,
        "software": "shoal 0.1.0 (arithmetic)",
        "name": "spots",
        "kind": kind,
        "skeleton": {"name": "spots", "nodes": NODES, "edges": [[0, 1]], "symmetries": []},
        "classes": CLASSES if kind.startswith("multiclass") else [],
        "anchor_part": "head",
        "crop_size_px": CROP_SIZE_PX if sees_crops else None,
        "input_scale": 1.0,
        "antialias": False,
        "channels": 3,
        "max_stride": 2,
        "heads": [
            {
                "name": name,
                "channels": len(_MAPS[name][1]) if name in _MAPS else len(CLASSES),
                "stride": 2 if name in _MAPS else 1,
                "is_map": name in _MAPS,
            }
            for name in names
        ],
        "refinement": "offsets" if "OffsetRefinementHead" in names else "integral",
        "peak_threshold": 0.2,
        "training_data_hash": "0" * 64,
        "evaluation": None,
        **changes,
    }


def parity(kind: str) -> dict[str, NDArray[Any]]:
    """The arrays of `parity.npz`: what was drawn."""
    heads = HEADS_PX[:, :1] if kind == "single_instance" else HEADS_PX
    points = np.stack([heads, heads + TAIL_PX], axis=2)
    arrays: dict[str, NDArray[Any]] = {"images": images(heads), "points_px": points}
    if kind == "centroid":
        arrays["points_px"] = points[:, :, :1]
    if kind.endswith("centered_instance"):
        arrays["centroids_px"] = heads
    if kind.startswith("multiclass"):
        arrays["class_indices"] = np.tile(np.arange(2), (len(heads), 1))
    return arrays


def write_model(folder: Path, kind: str, **changes: Any) -> Path:
    """A model folder; changes go to `description`."""
    folder.mkdir(parents=True)
    described = description(kind, **changes)
    (folder / "shoal_model.json").write_text(json.dumps(described))
    (folder / "network.onnx").write_bytes(network([head["name"] for head in described["heads"]]))
    np.savez_compressed(folder / "parity.npz", **parity(kind))
    return folder
