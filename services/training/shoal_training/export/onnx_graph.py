"""A network as an ONNX graph of standard operators, for images of any size.

Axis legend: B images, C channels, H W network input pixels.
"""

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import onnx
import torch
from onnx import inliner
from torch.export import Dim

from shoal_training.heads import HeadSpec
from shoal_training.networks import PoseNetwork

OPSET = 18
IR_VERSION = 9
"""The intermediate representation that goes with opset 18."""
INPUT = "input"
_TRACED_STRIDES = 4


def export_graph(network: PoseNetwork) -> onnx.ModelProto:
    """Returns the graph of what the network infers: `input` [B, C, H, W] → heads by name.

    B, H and W are free (H and W multiples of the network's `max_stride`). The network itself is
    left as it is, in its mode and on its device.
    """
    inference = copy.deepcopy(network).cpu().float().inference_network().eval()
    heads = inference.heads
    # Large enough for encoders that do not pad; what is traced holds for smaller images, too.
    side = _TRACED_STRIDES * network.max_stride
    batch = Dim("batch")
    rows, columns = (Dim(name, min=_TRACED_STRIDES) for name in ("rows", "columns"))
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            inference,
            (torch.zeros(2, network.channels, side, side + network.max_stride),),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[spec.name for spec in heads],
            dynamic_shapes=(
                {0: batch, 2: network.max_stride * rows, 3: network.max_stride * columns},
            ),
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise AssertionError("torch.onnx.export with dynamo returns a program")
    model = inliner.inline_local_functions(program.model_proto)
    _clean(model, heads)
    onnx.checker.check_model(model)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's remarks about other packages to itself; failures are exceptions."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _clean(model: onnx.ModelProto, heads: Sequence[HeadSpec]) -> None:
    """Names the free axes, and drops notes about where in the sources each node comes from."""
    _set_axes(model.graph.input[0], ("B", None, "H", "W"))
    for output, spec in zip(model.graph.output, heads, strict=True):
        size = (f"{spec.name}_h", f"{spec.name}_w") if spec.is_map else ()
        _set_axes(output, ("B", None, *size))
    del model.graph.value_info[:]
    graph = model.graph
    noted: list[Any] = [model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer]
    for item in noted:
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    model.ir_version = IR_VERSION
    model.producer_name = "shoal"
    model.ClearField("producer_version")


def _set_axes(value: onnx.ValueInfoProto, names: Sequence[str | None]) -> None:
    """Gives axes their names; None keeps the length that an axis has."""
    for axis, name in zip(value.type.tensor_type.shape.dim, names, strict=True):
        if name is not None:
            axis.dim_param = name
