"""Small ONNX models whose answers can be worked out by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from shoal_common.inference.chain import Chain, ChainStep
from shoal_common.inference.contract import PoseContract, Stage
from shoal_core.skeleton import Skeleton

FLOAT, UINT8, INT32, INT64, BOOL = (
    int(TensorProto.FLOAT),
    int(TensorProto.UINT8),
    int(TensorProto.INT32),
    int(TensorProto.INT64),
    int(TensorProto.BOOL),
)
Tensors = Mapping[str, tuple[int, Sequence[int | str]]]


def graph(
    nodes: Sequence[onnx.NodeProto],
    inputs: Tensors,
    outputs: Tensors,
    constants: Mapping[str, np.ndarray] | None = None,
) -> bytes:
    """An ONNX file of the given nodes."""
    values = [
        [helper.make_tensor_value_info(name, *spec) for name, spec in tensors.items()]
        for tensors in (inputs, outputs)
    ]
    initializers = [numpy_helper.from_array(v, k) for k, v in (constants or {}).items()]
    model = helper.make_model(
        helper.make_graph(list(nodes), "test", *values, initializers),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def plus(number: float) -> bytes:
    """`y = x + number`, FP32 [B, 3]."""
    return graph(
        [helper.make_node("Add", ["x", "c"], ["y"])],
        {"x": (FLOAT, ["B", 3])},
        {"y": (FLOAT, ["B", 3])},
        {"c": np.float32(number)},
    )


def identity(onnx_type: int) -> bytes:
    """`y = x` of any element type, [N]."""
    return graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        {"x": (onnx_type, ["N"])},
        {"y": (onnx_type, ["N"])},
    )


def busy() -> bytes:
    """`y = trips`, INT64 [1], after so many turns of a loop."""
    one = numpy_helper.from_array(np.array([1], np.int64), "one")
    body = helper.make_graph(
        [
            helper.make_node("Add", ["sum", "one"], ["next"]),
            helper.make_node("Identity", ["go"], ["go_on"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("turn", INT64, []),
            helper.make_tensor_value_info("go", BOOL, []),
            helper.make_tensor_value_info("sum", INT64, [1]),
        ],
        [
            helper.make_tensor_value_info("go_on", BOOL, []),
            helper.make_tensor_value_info("next", INT64, [1]),
        ],
        [one],
    )
    return graph(
        [helper.make_node("Loop", ["trips", "", "zero"], ["y"], body=body)],
        {"trips": (INT64, [1])},
        {"y": (INT64, [1])},
        {"zero": np.zeros(1, np.int64)},
    )


def write_single(repository: Path, model: str, version: int, onnx_file: bytes) -> None:
    """A version that is one ONNX file, without a contract."""
    folder = repository / model / str(version)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(onnx_file)


NODES = ("head", "tail")


def contract(**changes: object) -> PoseContract:
    """A contract of a single-instance model with two nodes and at most one instance."""
    fields: dict[str, object] = {
        "family": "instances",
        "kind": "single_instance",
        "skeleton": Skeleton("test", NODES, ((0, 1),)),
        "channels": 1,
        "stages": (
            Stage("single_instance", 1.0, 1, {"SingleInstanceConfmapsHead": 1}, "integral"),
        ),
        "max_instances": 1,
    }
    return PoseContract(**{**fields, **changes})  # type: ignore[arg-type]


def write_brightness(
    repository: Path,
    model: str,
    version: int,
    *,
    threshold: str = "peak_threshold",
    **changes: object,
) -> None:
    """A chain that answers with each frame's sum of pixels, and what it was told.

    `instance_scores` [B, 1] is the sum of the frame's pixels, `thresholds` [B, 1] is the input
    that `threshold` names. Steps: glue (cast), body (doubles), glue (halves and sums).
    """
    folder = repository / model / str(version)
    folder.mkdir(parents=True)
    frames = ["B", "H", "W", "C"]
    files = {
        "cast.onnx": graph(
            [helper.make_node("Cast", ["images"], ["pixels"], to=FLOAT)],
            {"images": (UINT8, frames)},
            {"pixels": (FLOAT, frames)},
        ),
        "double.onnx": graph(
            [helper.make_node("Mul", ["in", "two"], ["out"])],
            {"in": (FLOAT, frames)},
            {"out": (FLOAT, frames)},
            {"two": np.float32(2)},
        ),
        "sum.onnx": graph(
            [
                helper.make_node("Mul", ["doubled", "half"], ["pixels"]),
                helper.make_node("ReduceSum", ["pixels", "axes"], ["sums"], keepdims=0),
                helper.make_node("Unsqueeze", ["sums", "last"], ["total"]),
                helper.make_node("Identity", ["limit"], ["same_limit"]),
            ],
            {"doubled": (FLOAT, frames), "limit": (FLOAT, ["B", 1])},
            {"total": (FLOAT, ["B", 1]), "same_limit": (FLOAT, ["B", 1])},
            {
                "half": np.float32(0.5),
                "axes": np.array([1, 2, 3], np.int64),
                "last": np.array([1], np.int64),
            },
        ),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    chain = Chain(
        inputs=("images", threshold),
        outputs=("instance_scores", "thresholds"),
        steps=(
            ChainStep("cast", "cast.onnx", "glue", {"images": "images"}, {"pixels": "pixels"}),
            ChainStep("net", "double.onnx", "body", {"in": "pixels"}, {"out": "maps"}),
            ChainStep(
                "sum",
                "sum.onnx",
                "glue",
                {"doubled": "maps", "limit": threshold},
                {"total": "instance_scores", "same_limit": "thresholds"},
            ),
        ),
    )
    (folder / "chain.json").write_text(chain.to_json())
    (folder / "contract.json").write_text(contract(**changes).to_json())
