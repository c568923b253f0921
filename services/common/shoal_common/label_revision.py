"""What was in a label set at some time, as a hash: a training job is pinned to it."""

import hashlib

from shoal.labels.v1 import labels_pb2, labels_pb2_grpc
from shoal_common import deadlines

_CALL_SECONDS = 30.0
_PAGE_SIZE = 10_000


async def label_set_revision(stub: "labels_pb2_grpc.LabelsServiceAsyncStub", name: str) -> str:
    """Returns the SHA-256 of what the segments of a label set say of themselves, in hexadecimal.

    Another commit of a segment brings another fencing token or other counts, and so another
    revision.

    Args:
        stub: The label store.
        name: projects/{project}/labelSets/{label_set}.
    """
    digest = hashlib.sha256(name.encode())
    request = labels_pb2.ListSegmentsRequest(parent=name, page_size=_PAGE_SIZE)
    while True:
        response = await stub.ListSegments(request, timeout=deadlines.timeout_s(_CALL_SECONDS))
        for segment in response.segments:
            digest.update(segment.SerializeToString(deterministic=True))
        request.page_token = response.next_page_token
        if not request.page_token:
            return digest.hexdigest()
