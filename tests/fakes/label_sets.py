"""Labels as the orchestrator sees it: label sets that exist or do not."""

import hashlib
from pathlib import Path

from shoal.labels.v1 import labels_pb2, labels_pb2_grpc
from shoal_core.errors import NotFound


class FakeLabelSets(labels_pb2_grpc.LabelsServiceServicer):
    """Knows the names it was given."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.files: dict[str, str] = {}
        """Hashes of files of labels, by their paths."""
        self.segments: dict[str, list[labels_pb2.Segment]] = {}
        """Of label sets that can be exported, by their names."""

    def add_file(self, path: Path) -> None:
        """Knows a file of labels as it is now."""
        self.files[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()

    async def GetLabelSet(self, request, context):
        if request.name not in self.names:
            raise NotFound("LABEL_SET_NOT_FOUND", f"There is no {request.name}.")
        label_set = labels_pb2.LabelSet(name=request.name)
        return labels_pb2.GetLabelSetResponse(label_set=label_set)

    async def ProbeLabels(self, request, context):
        if request.uri not in self.files:
            raise NotFound("LABELS_NOT_FOUND", f"There is no file {request.uri}.")
        return labels_pb2.ProbeLabelsResponse(uri=request.uri, content_hash=self.files[request.uri])

    async def ListSegments(self, request, context):
        if request.parent not in self.segments:
            raise NotFound("LABEL_SET_NOT_FOUND", f"There is no {request.parent}.")
        return labels_pb2.ListSegmentsResponse(segments=self.segments[request.parent])

    async def DownloadLabels(self, request, context):
        for name in request.label_sets:
            yield labels_pb2.DownloadLabelsResponse(chunk=name.encode())
