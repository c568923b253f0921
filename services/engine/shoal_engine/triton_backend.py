"""A version's chain in Triton's Python backend: `model.py` of its repository imports this.

Runs in the processes that Triton starts, in an environment that holds Triton and this package.
`triton_python_backend_utils` is only there, and complete once the model is made. The frames of a
request are computed one after another on one thread, like those of a stream of the embedded
engine, so that results are the same.

Axis legend: B frames of a request.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import Cancelled, InvalidArgument, ResourceExhausted, ShoalError
from shoal_engine.graph import Stopper, Threads
from shoal_engine.models import Model
from shoal_engine.onnx_graph import share_memory
from shoal_engine.processor import processor_name


class TritonPythonModel:
    """One instance of a version; Triton calls it from one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the version in `<model_repository>/<model_version>`."""
        import triton_python_backend_utils

        self._triton = triton_python_backend_utils
        share_memory()
        folder = Path(args["model_repository"]) / args["model_version"]
        self._model = Model.load(
            folder,
            args["model_name"],
            int(args["model_version"]),
            threads=Threads(stream_count=1, wide_count=1),
            processor=processor_name(),
        )
        self._outputs = [spec.name for spec in self._model.outputs]

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Returns a response for each request."""
        return [self._response(request) for request in requests]

    def _response(self, request: Any) -> Any:
        inputs = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        try:
            outputs = self._run(request, inputs)
        except ShoalError as error:
            return self._triton.InferenceResponse(error=self._error(error))
        tensors = [
            self._triton.Tensor(name, outputs[name]) for name in request.requested_output_names()
        ]
        return self._triton.InferenceResponse(tensors)

    def _error(self, error: ShoalError) -> Any:
        kinds = self._triton.TritonError
        codes = {
            InvalidArgument: kinds.INVALID_ARG,
            Cancelled: kinds.CANCELLED,
            ResourceExhausted: kinds.UNAVAILABLE,
        }
        return kinds(error.message, codes.get(type(error), kinds.INTERNAL))

    def _run(self, request: Any, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        frame_count = self._model.frame_count(inputs)
        assert frame_count is not None, "serving writes models with a contract only"
        parts = []
        for frame in range(frame_count):
            if request.is_cancelled():
                raise Cancelled("REQUEST_STOPPED", "The request was stopped.")
            part = {name: array[frame : frame + 1] for name, array in inputs.items()}
            parts.append(self._model.run(part, self._outputs, wide=False, stopper=Stopper()))
        return {name: np.concatenate([part[name] for part in parts]) for name in self._outputs}
