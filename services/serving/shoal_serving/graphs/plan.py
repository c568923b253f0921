"""A served model as parts in order, written as separate files or as one composed graph."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from shoal_common.inference.chain import Chain, ChainStep, StepKind
from shoal_serving.graphs.builder import GraphBuilder, Value

Emit = Callable[[GraphBuilder, Mapping[str, Value]], Mapping[str, Value]]
"""Adds a part to a graph: values by port name in, values by port name out."""


@dataclass(frozen=True)
class Port:
    """A named tensor between parts, or of the request or response."""

    name: str
    dtype: int
    shape: tuple[int | str, ...]
    """Strings name free dimensions."""


@dataclass(frozen=True)
class Part:
    """One graph of the model."""

    name: str
    kind: StepKind
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    emit: Emit = field(repr=False)
    renames: Mapping[str, str] = field(default_factory=dict)
    """Value name → name of the graph's input or output, where that is another one."""

    def file_name(self) -> str:
        """Returns the name of the part's file."""
        return f"{self.name}.onnx"

    def model(self) -> onnx.ModelProto:
        """Returns the part as a graph of its own."""
        graph = GraphBuilder(self.name)
        inputs = {
            port.name: graph.input(self.graph_name(port), port.dtype, port.shape)
            for port in self.inputs
        }
        outputs = self.emit(graph, inputs)
        for port in self.outputs:
            graph.output(self.graph_name(port), outputs[port.name], port.shape)
        return graph.model()

    def graph_name(self, port: Port) -> str:
        """Returns the name of a port in the part's own graph."""
        return self.renames.get(port.name, port.name)

    def step(self) -> ChainStep:
        """Returns the part as a step of the chain."""
        return ChainStep(
            name=self.name,
            file=self.file_name(),
            kind=self.kind,
            inputs={self.graph_name(port): port.name for port in self.inputs},
            outputs={self.graph_name(port): port.name for port in self.outputs},
        )


@dataclass(frozen=True)
class Plan:
    """All parts of a model between the request's inputs and the response's outputs."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    parts: tuple[Part, ...]

    def chain(self) -> Chain:
        """Returns the order of the parts' files."""
        chain = Chain(
            inputs=_names(self.inputs),
            outputs=_names(self.outputs),
            steps=tuple(part.step() for part in self.parts),
        )
        chain.check()
        return chain

    def composed(self, name: str) -> onnx.ModelProto:
        """Returns all parts in one graph."""
        graph = GraphBuilder(name)
        values = {port.name: graph.input(port.name, port.dtype, port.shape) for port in self.inputs}
        for part in self.parts:
            with graph.scope(part.name):
                made = part.emit(graph, {port.name: values[port.name] for port in part.inputs})
            values.update({port.name: made[port.name] for port in part.outputs})
        for port in self.outputs:
            graph.output(port.name, values[port.name], port.shape)
        return graph.model()


def _names(ports: Sequence[Port]) -> tuple[str, ...]:
    return tuple(port.name for port in ports)
