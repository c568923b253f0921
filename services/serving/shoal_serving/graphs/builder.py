"""Writes ONNX graphs as arithmetic: `Value` is one edge of the graph, with operators.

Glue is written once as functions from values to values; the same function fills a part
of the chain (its own file) and its place in the composed graph.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
IR_VERSION = 9
"""The intermediate representation that goes with opset 18 and every current runtime reads."""

FLOAT = int(TensorProto.FLOAT)
UINT8 = int(TensorProto.UINT8)
INT32 = int(TensorProto.INT32)
INT64 = int(TensorProto.INT64)
BOOL = int(TensorProto.BOOL)


@dataclass(frozen=True)
class Value:
    """One tensor of a graph that is being built; arithmetic on it adds nodes.

    Plain numbers beside a value become constants of `dtype`.
    """

    graph: "GraphBuilder"
    name: str
    dtype: int
    """Element type as ONNX numbers it (FLOAT, INT64 …)."""

    def _binary(
        self, op: str, other: "Value | ArrayLike", swapped: bool = False, dtype: int | None = None
    ) -> "Value":
        right = other if isinstance(other, Value) else self.like(other)
        pair = (right, self) if swapped else (self, right)
        return self.graph.op(op, *pair, dtype=self.dtype if dtype is None else dtype)

    def like(self, array: ArrayLike) -> "Value":
        """Returns a constant of this value's element type."""
        return self.graph.constant(array, self.dtype)

    def __add__(self, other: "Value | ArrayLike") -> "Value":
        return self._binary("Add", other)

    def __radd__(self, other: ArrayLike) -> "Value":
        return self._binary("Add", other, swapped=True)

    def __sub__(self, other: "Value | ArrayLike") -> "Value":
        return self._binary("Sub", other)

    def __rsub__(self, other: ArrayLike) -> "Value":
        return self._binary("Sub", other, swapped=True)

    def __mul__(self, other: "Value | ArrayLike") -> "Value":
        return self._binary("Mul", other)

    def __rmul__(self, other: ArrayLike) -> "Value":
        return self._binary("Mul", other, swapped=True)

    def __truediv__(self, other: "Value | ArrayLike") -> "Value":
        return self._binary("Div", other)

    def __gt__(self, other: "Value | ArrayLike") -> "Value":
        return self._binary("Greater", other, dtype=BOOL)

    def __ge__(self, other: "Value | ArrayLike") -> "Value":
        return self._binary("GreaterOrEqual", other, dtype=BOOL)

    def __lt__(self, other: "Value | ArrayLike") -> "Value":
        return self._binary("Less", other, dtype=BOOL)

    def __le__(self, other: "Value | ArrayLike") -> "Value":
        return self._binary("LessOrEqual", other, dtype=BOOL)

    def __and__(self, other: "Value") -> "Value":
        return self._binary("And", other)

    def equals(self, other: "Value | ArrayLike") -> "Value":
        """Returns where both are equal, element by element."""
        return self._binary("Equal", other, dtype=BOOL)

    def is_nan(self) -> "Value":
        """Returns where the element is NaN."""
        return self.graph.op("IsNaN", self, dtype=BOOL)

    def maximum(self, *others: "Value | ArrayLike") -> "Value":
        """Returns the larger element of all operands (broadcast)."""
        return self._extreme("Max", others)

    def minimum(self, *others: "Value | ArrayLike") -> "Value":
        """Returns the smaller element of all operands (broadcast)."""
        return self._extreme("Min", others)

    def _extreme(self, op: str, others: Sequence["Value | ArrayLike"]) -> "Value":
        values = [other if isinstance(other, Value) else self.like(other) for other in others]
        return self.graph.op(op, self, *values)

    def clip(self, low: "Value | ArrayLike", high: "Value | ArrayLike") -> "Value":
        """Returns the elements limited to low … high."""
        return self.maximum(low).minimum(high)

    def cast(self, dtype: int) -> "Value":
        """Returns the elements as another type."""
        return self.graph.op("Cast", self, dtype=dtype, to=dtype)

    def reshape(self, *shape: "int | Value") -> "Value":
        """Returns the same elements in another shape; 0 keeps the axis, -1 takes the rest."""
        return self.graph.op("Reshape", self, self.graph.shape_of(shape))

    def merge_pixels(self) -> "Value":
        """Returns [A, N, h, w] as [A, N, h·w]; A may be 0 (which a 0 in `reshape` may not)."""
        return self.reshape(-1, self.length(1), self.length(2) * self.length(3))

    def expand(self, *shape: "int | Value") -> "Value":
        """Returns the elements broadcast against `shape` (1 leaves an axis as it is)."""
        return self.graph.op("Expand", self, self.graph.shape_of(shape))

    def unsqueeze(self, *axes: int) -> "Value":
        """Returns the value with axes of length 1 put in."""
        return self.graph.op("Unsqueeze", self, self.graph.constant(axes, INT64))

    def squeeze(self, *axes: int) -> "Value":
        """Returns the value without the given axes of length 1."""
        return self.graph.op("Squeeze", self, self.graph.constant(axes, INT64))

    def transpose(self, *axes: int) -> "Value":
        """Returns the value with its axes in the given order."""
        return self.graph.op("Transpose", self, perm=list(axes))

    def slice(self, axis: int, start: "int | Value", stop: "int | Value") -> "Value":
        """Returns elements start … stop − 1 along one axis."""
        shape_of = self.graph.shape_of
        return self.graph.op(
            "Slice", self, shape_of((start,)), shape_of((stop,)), self.graph.constant([axis], INT64)
        )

    def pad(self, before: Sequence["int | Value"], after: Sequence["int | Value"]) -> "Value":
        """Returns the value with zeros put around it; negative counts cut."""
        return self.graph.op("Pad", self, self.graph.shape_of((*before, *after)))

    def gather(self, indices: "Value", axis: int) -> "Value":
        """Returns whole slices along one axis."""
        return self.graph.op("Gather", self, indices, axis=axis)

    def gather_elements(self, indices: "Value", axis: int) -> "Value":
        """Returns single elements along one axis (all other axes as in `indices`)."""
        return self.graph.op("GatherElements", self, indices, axis=axis)

    def reduce(self, op: str, *axes: int, keep: bool = False) -> "Value":
        """Returns ReduceSum, ReduceMax … over the given axes."""
        axes_value = self.graph.constant(axes, INT64)
        return self.graph.op(op, self, axes_value, keepdims=int(keep))

    def top_k(self, count: int, axis: int) -> tuple["Value", "Value"]:
        """Returns the largest elements along an axis, descending, and their indices.

        Among equal elements the lower index comes first.
        """
        count_value = self.graph.constant([count], INT64)
        return self.graph.op2("TopK", self, count_value, dtypes=(self.dtype, INT64), axis=axis)

    def length(self, axis: int) -> "Value":
        """Returns the length of one axis, INT64 of shape [1]."""
        return self.graph.op("Shape", self, dtype=INT64, start=axis, end=axis + 1)


class GraphBuilder:
    """Collects nodes and constants of one ONNX graph."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._scope = ""
        self._count = 0

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Prefixes the names of everything that is added inside."""
        outer = self._scope
        self._scope = f"{outer}{name}/"
        try:
            yield
        finally:
            self._scope = outer

    def input(self, name: str, dtype: int, shape: Sequence[int | str]) -> Value:
        """Declares an input of the graph; strings name free dimensions."""
        self._inputs.append(helper.make_tensor_value_info(name, dtype, list(shape)))
        return Value(self, name, dtype)

    def output(self, name: str, value: Value, shape: Sequence[int | str]) -> None:
        """Declares an output of the graph under its public name."""
        self._nodes.append(helper.make_node("Identity", [value.name], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, value.dtype, list(shape)))

    def constant(self, array: ArrayLike, dtype: int) -> Value:
        """Returns a constant; equal constants are stored once."""
        numpy_type = helper.tensor_dtype_to_np_dtype(dtype)
        values: NDArray[Any] = np.asarray(array, numpy_type)
        key = (str(values.dtype), values.shape, values.tobytes())
        if key not in self._constants:
            name = self._fresh("constant")
            self._constants[key] = name
            self._initializers.append(numpy_helper.from_array(values, name))
        return Value(self, self._constants[key], dtype)

    def op(
        self, op_type: str, *inputs: Value, dtype: int | None = None, **attributes: Any
    ) -> Value:
        """Adds a node with one output of type `dtype` (default: that of the first input)."""
        name = self._fresh(op_type)
        names = [value.name for value in inputs]
        self._nodes.append(helper.make_node(op_type, names, [name], name=name, **attributes))
        return Value(self, name, inputs[0].dtype if dtype is None else dtype)

    def op2(
        self, op_type: str, *inputs: Value, dtypes: tuple[int, int], **attributes: Any
    ) -> tuple[Value, Value]:
        """Adds a node with two outputs."""
        first, second = self._fresh(op_type), self._fresh(op_type)
        names = [value.name for value in inputs]
        node = helper.make_node(op_type, names, [first, second], name=first, **attributes)
        self._nodes.append(node)
        return Value(self, first, dtypes[0]), Value(self, second, dtypes[1])

    def copy(self, node: onnx.NodeProto, names: dict[str, str]) -> None:
        """Adds the operator of another graph's node.

        `names` maps that graph's values to this one's, "" to ""; the node's outputs are put in.
        """
        inputs = [names[name] for name in node.input]
        for name in node.output:
            names[name] = self._fresh(node.op_type) if name else ""
        outputs = [names[name] for name in node.output]
        copied = helper.make_node(node.op_type, inputs, outputs, name=outputs[0])
        copied.attribute.extend(node.attribute)
        self._nodes.append(copied)

    def where(self, condition: Value, yes: Value | ArrayLike, no: Value) -> Value:
        """Returns `yes` where the condition holds, else `no` (broadcast)."""
        chosen = yes if isinstance(yes, Value) else no.like(yes)
        return self.op("Where", condition, chosen, no, dtype=no.dtype)

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        """Returns the values one after another along an axis."""
        return self.op("Concat", *values, axis=axis)

    def arange(self, stop: Value) -> Value:
        """Returns 0 … stop − 1 as INT64; `stop` is INT64 of shape [1]."""
        zero, one = self.constant(0, INT64), self.constant(1, INT64)
        return self.op("Range", zero, stop.squeeze(0), one)

    def shape_of(self, lengths: Sequence[int | Value]) -> Value:
        """Returns a list of lengths as INT64 of shape [n]; values in it have shape [1]."""
        numbers = [length for length in lengths if not isinstance(length, Value)]
        if len(numbers) == len(lengths):
            return self.constant(numbers, INT64)
        parts = [
            length if isinstance(length, Value) else self.constant([length], INT64)
            for length in lengths
        ]
        return self.concat(parts, axis=0) if len(parts) > 1 else parts[0]

    def model(self) -> onnx.ModelProto:
        """Returns the finished and checked model."""
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, self._initializers
        )
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(
            graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="shoal"
        )
        onnx.checker.check_model(model)
        return model

    def _fresh(self, stem: str) -> str:
        self._count += 1
        return f"{self._scope}{stem}_{self._count}"
