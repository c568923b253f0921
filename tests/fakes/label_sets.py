"""Labels as the orchestrator sees it: label sets that exist or do not."""

from shoal.labels.v1 import labels_pb2, labels_pb2_grpc
from shoal_core.errors import NotFound


class FakeLabelSets(labels_pb2_grpc.LabelsServiceServicer):
    """Knows the names it was given."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    async def GetLabelSet(self, request, context):
        if request.name not in self.names:
            raise NotFound("LABEL_SET_NOT_FOUND", f"There is no {request.name}.")
        label_set = labels_pb2.LabelSet(name=request.name)
        return labels_pb2.GetLabelSetResponse(label_set=label_set)
