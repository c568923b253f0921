"""One inference from request to response."""

import time

from tritonclient.grpc import service_pb2 as pb

from shoal_engine import convert
from shoal_engine.regions import Regions
from shoal_engine.repository import ModelRepository
from shoal_engine.streams import Streams

_FINAL_REQUESTED = "triton_enable_empty_final_response"
_FINAL = "triton_final_response"


class Inference:
    """Answers inference requests, unary or out of a stream; used on the event loop only."""

    def __init__(self, *, repository: ModelRepository, regions: Regions, streams: Streams) -> None:
        self._repository = repository
        self._regions = regions
        self._streams = streams

    async def infer(self, request: pb.ModelInferRequest) -> pb.ModelInferResponse:
        """Returns the answer to one request.

        Inputs in shared memory are read in place: the caller must not change them before it has
        the answer.

        Raises:
            ShoalError: What `ModelRepository.get`, `convert` and `Streams.run` raise.
        """
        loaded = self._repository.get(request.model_name, request.model_version)
        model, statistics = loaded.model, loaded.statistics
        arrival_ns = time.monotonic_ns()
        is_done = False
        try:
            inputs = convert.inputs(request, model, self._regions)
            wanted = convert.wanted_outputs(request, model)
            names = [output.name for output in wanted]
            priority = convert.priority(request)
            outputs = await self._streams.run(model, inputs, names, statistics, priority=priority)
            response = convert.response(request, model, wanted, outputs, self._regions)
            is_done = True
        finally:
            duration = statistics.success if is_done else statistics.fail
            duration.add(time.monotonic_ns() - arrival_ns)
        statistics.frame_count += model.frame_count(inputs) or 1
        statistics.last_inference_ms = time.time_ns() // 1_000_000
        if _FINAL_REQUESTED in request.parameters:
            response.parameters[_FINAL].bool_param = True
        return response
