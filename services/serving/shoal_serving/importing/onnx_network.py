"""A network out of a stranger's ONNX file: checked, then copied node by node into a graph.

Nothing but nodes of known operators and numbers is taken over: no names, no metadata, no files
that the file points at.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto, numpy_helper

from shoal_core.errors import InvalidArgument
from shoal_serving.graphs.body import Head
from shoal_serving.graphs.builder import FLOAT, OPSET, GraphBuilder, Value
from shoal_serving.importing.onnx_operators import OPERATORS, SHAPE_OPERANDS, SHAPES_ONLY

INPUT = "input"

_MAX_BYTES = 1 << 30
_STANDARD_DOMAINS = ("", "ai.onnx")
_SUBGRAPHS = (AttributeProto.GRAPH, AttributeProto.GRAPHS)


class OnnxNetwork:
    """The graph of one file, which has the given input channels and heads."""

    def __init__(self, path: Path, channels: int, heads: Sequence[Head]) -> None:
        """Reads and checks the file.

        Raises:
            InvalidArgument: MODEL_FILE_MISSING, MODEL_FILE_DAMAGED, MODEL_FILE_UNSAFE (it points
                at other files), MODEL_KIND_UNSUPPORTED (an operator or opset that is not served)
                or MODEL_WEIGHTS_MISMATCH (it has not the given input and heads).
        """
        self._path = path
        graph = _read(path)
        self._graph = graph
        self._weights = _weights(path, graph)
        self._check_nodes()
        self._check_shapes_are_free_of_data()
        self._check_ports(channels, heads)
        self._heads = tuple(head.name for head in heads)

    def emit(self, builder: GraphBuilder, image: Value) -> dict[str, Value]:
        """Adds the network to a graph; returns the heads' maps and vectors by name."""
        names = {"": "", INPUT: image.name}
        for tensor in self._graph.initializer:
            weights = self._weights[tensor.name]
            names[tensor.name] = builder.constant(weights, tensor.data_type).name
        for node in self._graph.node:
            builder.copy(node, names)
        return {name: Value(builder, names[name], FLOAT) for name in self._heads}

    def _check_nodes(self) -> None:
        for node in self._graph.node:
            if node.domain not in _STANDARD_DOMAINS or node.op_type not in OPERATORS:
                operator = f"{node.domain}::{node.op_type}" if node.domain else node.op_type
                raise self._unsupported(f"has the operator {operator[:100]!r}")
            if any(attribute.type in _SUBGRAPHS for attribute in node.attribute):
                raise self._unsupported(f"has a graph inside its operator {node.op_type!r}")

    def _check_shapes_are_free_of_data(self) -> None:
        """Checks that no shape follows from pixels, which GPU engines could not plan for."""
        from_data = {INPUT}
        for node in self._graph.node:
            shape_operands = _shape_operands(node)
            if from_data.intersection(shape_operands):
                raise self._unsupported(
                    f"has a {node.op_type} whose shape follows from the values of the image"
                )
            if node.op_type not in SHAPES_ONLY and from_data.intersection(node.input):
                from_data.update(node.output)

    def _check_ports(self, channels: int, heads: Sequence[Head]) -> None:
        inputs = [_port(value) for value in self._graph.input]
        expected = (INPUT, FLOAT, (None, channels, None, None))
        if inputs != [expected]:
            raise self._mismatch(
                f"takes {_described(inputs)}, not {_described([expected])} (None is free)"
            )
        made = {name: (dtype, shape) for name, dtype, shape in map(_port, self._graph.output)}
        for head in heads:
            rank = 4 if head.is_map else 2
            dtype, shape = made.get(head.name, (None, ()))
            if dtype is None:
                raise self._mismatch(f"has no output {head.name!r}")
            if dtype != FLOAT or len(shape) != rank or shape[1] != head.channels:
                found = _described([(head.name, dtype, shape)])
                raise self._mismatch(f"gives {found}, not {head.channels} channels of {rank} axes")
        surplus = sorted(set(made) - {head.name for head in heads})
        if surplus:
            raise self._mismatch(f"gives {surplus[0][:100]!r} too")

    def _unsupported(self, problem: str) -> InvalidArgument:
        return InvalidArgument(
            "MODEL_KIND_UNSUPPORTED",
            f"{self._path} {problem}, which is not served; export the model with Shoal's "
            "training again.",
            file=self._path,
        )

    def _mismatch(self, problem: str) -> InvalidArgument:
        return InvalidArgument(
            "MODEL_WEIGHTS_MISMATCH",
            f"{self._path} {problem}, unlike its configuration; copy all files from the same "
            "training run.",
            file=self._path,
        )


def _read(path: Path) -> onnx.GraphProto:
    if not path.is_file():
        raise InvalidArgument(
            "MODEL_FILE_MISSING",
            f"{path.parent} has no {path.name}; copy it from the training run.",
            file=path,
        )
    if path.stat().st_size > _MAX_BYTES:
        raise _damaged(path, f"has more than {_MAX_BYTES >> 20} MiB")
    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
    except DecodeError as error:
        raise _damaged(path, "is truncated or no ONNX file") from error
    _check_self_contained(path, model)
    _check_opset(path, model)
    try:
        onnx.checker.check_model(model)
        # Strict: what the file says about the types of its values must hold.
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except (
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        RuntimeError,
        ValueError,
    ) as error:
        problem = " ".join(str(error).split())[:200]
        raise _damaged(path, f"is no valid ONNX file ({problem})") from error
    return inferred.graph


def _weights(path: Path, graph: onnx.GraphProto) -> dict[str, NDArray[Any]]:
    try:
        return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, "has weights that do not fit their shape") from error


def _check_self_contained(path: Path, model: onnx.ModelProto) -> None:
    for tensor in _tensors(model.graph):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise InvalidArgument(
                "MODEL_FILE_UNSAFE",
                f"{path} points at another file for {tensor.name[:100]!r}, which is not read; "
                "export the model with its weights inside.",
                file=path,
                tensor=tensor.name[:100],
            )
    graph = model.graph
    if model.functions or graph.sparse_initializer or model.training_info:
        raise InvalidArgument(
            "MODEL_KIND_UNSUPPORTED",
            f"{path} has functions, sparse weights or training information, which are not "
            "served; export the model with Shoal's training again.",
            file=path,
        )


def _tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """Yields all tensors of a graph, those in attributes and graphs inside it included."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def _check_opset(path: Path, model: onnx.ModelProto) -> None:
    opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    if opsets.get("ai.onnx") != OPSET:
        raise InvalidArgument(
            "MODEL_KIND_UNSUPPORTED",
            f"{path} has opset {opsets.get('ai.onnx', 'none')}, and {OPSET} is served; export "
            "the model with Shoal's training again.",
            file=path,
        )


def _damaged(path: Path, problem: str) -> InvalidArgument:
    return InvalidArgument(
        "MODEL_FILE_DAMAGED",
        f"{path} {problem}; copy it from the training run again.",
        file=path,
    )


def _shape_operands(node: onnx.NodeProto) -> list[str]:
    reduces = node.op_type.startswith("Reduce")
    places = (1,) if reduces else SHAPE_OPERANDS.get(node.op_type, ())
    return [node.input[place] for place in places if place < len(node.input)]


_Port = tuple[str, int, tuple[int | None, ...]]


def _port(value: onnx.ValueInfoProto) -> _Port:
    tensor = value.type.tensor_type
    sizes = tuple(
        axis.dim_value if axis.HasField("dim_value") else None for axis in tensor.shape.dim
    )
    return value.name, tensor.elem_type, sizes


def _described(ports: Sequence[_Port]) -> str:
    names: Mapping[int, str] = {number: name for name, number in TensorProto.DataType.items()}
    return (
        ", ".join(
            f"{name[:50]} {names.get(dtype, '?')} {list(shape)}" for name, dtype, shape in ports
        )[:200]
        or "nothing"
    )
