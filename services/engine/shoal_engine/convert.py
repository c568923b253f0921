"""Open Inference messages ↔ arrays. Protobuf stops here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as pb

from shoal_common.inference.priority import Priority
from shoal_core.errors import InvalidArgument
from shoal_engine.models import Model
from shoal_engine.regions import Regions
from shoal_engine.tensors import DTYPES

_REGION = "shared_memory_region"
_REGION_SIZE = "shared_memory_byte_size"
_REGION_OFFSET = "shared_memory_offset"
_PRIORITY = "priority"

_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}
"""Typed field of `InferTensorContents`; FP16 has none."""


@dataclass(frozen=True)
class Wanted:
    """An output that a request asks for."""

    name: str
    region: str | None = None
    """Shared memory region that it goes to; None: into the response."""
    offset: int = 0
    byte_size: int = 0


def inputs(
    request: pb.ModelInferRequest, model: Model, regions: Regions
) -> dict[str, NDArray[Any]]:
    """Returns the request's inputs, checked against the model; bytes are not copied.

    Raises:
        InvalidArgument: INPUT_UNKNOWN, INPUT_MISSING, INPUT_TYPE_MISMATCH, INPUT_SHAPE_MISMATCH,
            INPUT_SIZE_MISMATCH or REGION_TOO_SMALL.
        NotFound: REGION_NOT_REGISTERED.
    """
    specs = {spec.name: spec for spec in model.inputs}
    arrays: dict[str, NDArray[Any]] = {}
    raw = iter(request.raw_input_contents)
    for tensor in request.inputs:
        spec = specs.get(tensor.name)
        if spec is None or tensor.name in arrays:
            raise InvalidArgument(
                "INPUT_UNKNOWN",
                f"Input {tensor.name!r} is unknown or given twice; model {model.name!r} takes "
                f"{', '.join(specs)}.",
                input=tensor.name,
            )
        spec.check(tensor.datatype, tuple(tensor.shape))
        if _REGION in tensor.parameters:
            arrays[tensor.name] = _from_region(tensor, regions)
        elif request.raw_input_contents:
            arrays[tensor.name] = _from_bytes(tensor, next(raw, None))
        else:
            arrays[tensor.name] = _from_contents(tensor)
    for name, spec in specs.items():
        if name not in arrays and not spec.optional:
            raise InvalidArgument("INPUT_MISSING", f"Input {name!r} is missing.", input=name)
    if next(raw, None) is not None:
        raise InvalidArgument(
            "INPUT_SIZE_MISMATCH", "raw_input_contents has more entries than there are inputs."
        )
    return arrays


def priority(request: pb.ModelInferRequest) -> Priority:
    """Returns the class of a request; as in Triton, 0 or an unknown number means the default.

    The default is batch: who does not say that somebody waits can wait.
    """
    if _PRIORITY not in request.parameters:
        return Priority.BATCH
    parameter = request.parameters[_PRIORITY]
    value = parameter.uint64_param or parameter.int64_param
    return Priority.LIVE if value == Priority.LIVE.value else Priority.BATCH


def wanted_outputs(request: pb.ModelInferRequest, model: Model) -> list[Wanted]:
    """Returns the outputs that a request asks for; all of the model's if it names none.

    Raises:
        InvalidArgument: OUTPUT_UNKNOWN or OUTPUT_UNSUPPORTED.
    """
    known = [spec.name for spec in model.outputs]
    if not request.outputs:
        return [Wanted(name) for name in known]
    for output in request.outputs:
        if output.name not in known:
            raise InvalidArgument(
                "OUTPUT_UNKNOWN",
                f"Output {output.name!r} is unknown; model {model.name!r} gives "
                f"{', '.join(known)}.",
                output=output.name,
            )
        if "classification" in output.parameters:
            raise InvalidArgument(
                "OUTPUT_UNSUPPORTED",
                f"Output {output.name!r} is asked for as a classification, which this engine "
                "does not do; ask for the tensor.",
                output=output.name,
            )
    return [_wanted(output) for output in request.outputs]


def response(
    request: pb.ModelInferRequest,
    model: Model,
    wanted: Sequence[Wanted],
    arrays: Mapping[str, NDArray[Any]],
    regions: Regions,
) -> pb.ModelInferResponse:
    """Returns the answer; outputs that go to shared memory are written there.

    Raises:
        InvalidArgument: REGION_TOO_SMALL when an output does not fit into its place.
        NotFound: REGION_NOT_REGISTERED.
    """
    message = pb.ModelInferResponse(
        model_name=model.name, model_version=str(model.version), id=request.id
    )
    datatypes = {spec.name: spec.datatype for spec in model.outputs}
    for output in wanted:
        array = arrays[output.name]
        tensor = message.outputs.add(
            name=output.name, datatype=datatypes[output.name], shape=array.shape
        )
        if output.region is None:
            message.raw_output_contents.append(array.tobytes())
            continue
        _write(output, array, regions)
        tensor.parameters[_REGION].string_param = output.region
        tensor.parameters[_REGION_SIZE].int64_param = array.nbytes
        if output.offset:
            tensor.parameters[_REGION_OFFSET].int64_param = output.offset
        message.raw_output_contents.append(b"")  # clients count entries by output
    return message


def _from_region(tensor: Any, regions: Regions) -> NDArray[Any]:
    parameters = tensor.parameters
    dtype, shape = DTYPES[tensor.datatype], tuple(tensor.shape)
    offset, byte_size = _int(parameters, _REGION_OFFSET), _int(parameters, _REGION_SIZE)
    _check_size(tensor, byte_size)
    return regions.view(parameters[_REGION].string_param, offset, dtype, shape)


def _from_bytes(tensor: Any, data: bytes | None) -> NDArray[Any]:
    if data is None:
        raise InvalidArgument(
            "INPUT_MISSING", f"Input {tensor.name!r} has no raw content.", input=tensor.name
        )
    _check_size(tensor, len(data))
    return np.frombuffer(data, DTYPES[tensor.datatype]).reshape(tuple(tensor.shape))


def _from_contents(tensor: Any) -> NDArray[Any]:
    if tensor.datatype not in _CONTENTS:
        raise InvalidArgument(
            "INPUT_TYPE_MISMATCH",
            f"Input {tensor.name!r} of type {tensor.datatype} has to be raw content.",
            input=tensor.name,
        )
    dtype = DTYPES[tensor.datatype]
    values = getattr(tensor.contents, _CONTENTS[tensor.datatype])
    _check_size(tensor, len(values) * dtype.itemsize)
    try:
        return np.array(values, dtype).reshape(tuple(tensor.shape))
    except OverflowError as error:
        raise InvalidArgument(
            "INPUT_TYPE_MISMATCH",
            f"Input {tensor.name!r} has a value that is not {tensor.datatype}.",
            input=tensor.name,
        ) from error


def _check_size(tensor: Any, byte_size: int) -> None:
    expected = int(np.prod(tensor.shape, dtype=np.int64)) * DTYPES[tensor.datatype].itemsize
    if byte_size != expected:
        raise InvalidArgument(
            "INPUT_SIZE_MISMATCH",
            f"Input {tensor.name!r} of shape {list(tensor.shape)} and type {tensor.datatype} "
            f"needs {expected} bytes, got {byte_size}.",
            input=tensor.name,
        )


def _wanted(output: Any) -> Wanted:
    if _REGION not in output.parameters:
        return Wanted(output.name)
    return Wanted(
        output.name,
        region=output.parameters[_REGION].string_param,
        offset=_int(output.parameters, _REGION_OFFSET),
        byte_size=_int(output.parameters, _REGION_SIZE),
    )


def _write(output: Wanted, array: NDArray[Any], regions: Regions) -> None:
    if array.nbytes > output.byte_size:
        raise InvalidArgument(
            "REGION_TOO_SMALL",
            f"Output {output.name!r} has {array.nbytes} bytes; shared memory for it has "
            f"{output.byte_size}.",
            output=output.name,
        )
    regions.view(str(output.region), output.offset, array.dtype, array.shape)[...] = array


def _int(parameters: Any, key: str) -> int:
    return int(parameters[key].int64_param) if key in parameters else 0
