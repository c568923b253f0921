"""Serves shoal.labels.v1.LabelsService."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

from shoal.labels.v1 import labels_pb2 as pb
from shoal.labels.v1 import labels_pb2_grpc as pb_grpc
from shoal_common import paging
from shoal_common.handlers import Context
from shoal_common.refusal import heard_out
from shoal_common.roots import AllowedRoots
from shoal_labels import convert
from shoal_labels.exchange import Exchange
from shoal_labels.store import LabelStore

_CHUNK_BYTES = 1 << 20


class LabelsService(pb_grpc.LabelsServiceServicer):
    """Label sets over gRPC; errors are those of the contract."""

    def __init__(self, *, store: LabelStore, exchange: Exchange, roots: AllowedRoots) -> None:
        self._store = store
        self._exchange = exchange
        self._roots = roots

    async def CreateLabelSet(
        self, request: pb.CreateLabelSetRequest, context: Context
    ) -> pb.CreateLabelSetResponse:
        """Creates a label set, or returns the equal one that is there."""
        label_set = convert.label_set(request.label_set, create_time_us=time.time_ns() // 1000)
        created = await self._store.create(label_set)
        return pb.CreateLabelSetResponse(label_set=convert.label_set_message(created))

    async def GetLabelSet(
        self, request: pb.GetLabelSetRequest, context: Context
    ) -> pb.GetLabelSetResponse:
        """Returns one label set."""
        label_set = await self._store.manifest.label_set(convert.label_set_key(request.name))
        return pb.GetLabelSetResponse(label_set=convert.label_set_message(label_set))

    async def ListLabelSets(
        self, request: pb.ListLabelSetsRequest, context: Context
    ) -> pb.ListLabelSetsResponse:
        """Lists label sets by name."""
        project = convert.project(request.parent)
        size = paging.page_size(request.page_size, default=100, limit=1000)
        after = paging.decode_token(request.page_token)
        found = await self._store.manifest.list_label_sets(project, after, size + 1)
        page, has_more = found[:size], len(found) > size
        return pb.ListLabelSetsResponse(
            label_sets=[convert.label_set_message(label_set) for label_set in page],
            next_page_token=paging.encode_token(page[-1].key.label_set) if has_more else "",
        )

    async def DeleteLabelSet(
        self, request: pb.DeleteLabelSetRequest, context: Context
    ) -> pb.DeleteLabelSetResponse:
        """Deletes a label set and its files."""
        await self._store.delete(convert.label_set_key(request.name))
        return pb.DeleteLabelSetResponse()

    async def CommitSegment(
        self, requests: AsyncIterator[pb.CommitSegmentRequest], context: Context
    ) -> pb.CommitSegmentResponse:
        """Writes one segment; it is durable and visible when the call returns."""
        stream = aiter(requests)
        target = convert.segment_target(await anext(stream, None))
        async with heard_out(stream), self._store.draft(target) as draft:
            async for request in stream:
                await draft.append(convert.columns(request))
            segment = await draft.commit()
        return pb.CommitSegmentResponse(segment=convert.segment_message(segment))

    async def ListSegments(
        self, request: pb.ListSegmentsRequest, context: Context
    ) -> pb.ListSegmentsResponse:
        """Lists the segments of a label set by index."""
        key = convert.label_set_key(request.parent)
        size = paging.page_size(request.page_size, default=1000, limit=10_000)
        after = paging.decode_number_token(request.page_token)
        found = await self._store.manifest.list_segments(
            key, -1 if after is None else after, size + 1
        )
        page, has_more = found[:size], len(found) > size
        return pb.ListSegmentsResponse(
            segments=[convert.segment_message(segment) for segment in page],
            next_page_token=paging.encode_token(str(page[-1].index)) if has_more else "",
        )

    async def StreamPoses(
        self, request: pb.StreamPosesRequest, context: Context
    ) -> AsyncIterator[pb.StreamPosesResponse]:
        """Streams poses in increasing frame order."""
        key = convert.label_set_key(request.label_set)
        start, stop = convert.frame_range(request.range)
        # Closed here and now: a reader that leaves must not keep files that were replaced.
        async with aclosing(self._store.read(key, start, stop)) as parts:
            async for columns in parts:
                yield pb.StreamPosesResponse(poses=convert.pose_batch(columns))

    async def ImportLabels(
        self, request: pb.ImportLabelsRequest, context: Context
    ) -> pb.ImportLabelsResponse:
        """Imports a SLEAP file: one label set per video."""
        project, path = convert.project(request.parent), self._roots.resolve(request.uri)
        label_sets = await self._exchange.import_labels(project, path)
        return pb.ImportLabelsResponse(
            label_sets=[convert.label_set_message(label_set) for label_set in label_sets]
        )

    async def ProbeLabels(
        self, request: pb.ProbeLabelsRequest, context: Context
    ) -> pb.ProbeLabelsResponse:
        """Says what a file of labels is."""
        path = self._roots.resolve(request.uri)
        content_hash = await self._exchange.content_hash(path)
        return pb.ProbeLabelsResponse(uri=str(path), content_hash=content_hash)

    async def ExportLabels(
        self, request: pb.ExportLabelsRequest, context: Context
    ) -> pb.ExportLabelsResponse:
        """Writes label sets into one SLEAP file, or one into an analysis file."""
        keys = [convert.label_set_key(name) for name in request.label_sets]
        output = self._roots.resolve(request.uri)
        video_uris = [str(self._roots.resolve(uri)) for uri in request.video_uris]
        frame_count, instance_count = await self._exchange.export_labels(
            keys, output, video_uris, convert.provenance(request.provenance_json)
        )
        return pb.ExportLabelsResponse(frame_count=frame_count, instance_count=instance_count)

    async def DownloadLabels(
        self, request: pb.DownloadLabelsRequest, context: Context
    ) -> AsyncIterator[pb.DownloadLabelsResponse]:
        """Streams label sets as one SLEAP file."""
        keys = [convert.label_set_key(name) for name in request.label_sets]
        async with self._exchange.exported(keys) as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
                yield pb.DownloadLabelsResponse(chunk=chunk)
