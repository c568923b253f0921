"""Labels and predictions, through shoal.labels.v1."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grpc

from shoal.labels.v1 import labels_pb2, labels_pb2_grpc
from shoal_client import convert
from shoal_client.limits import PAGE_SIZE, QUICK_S, TRANSFER_S
from shoal_client.types import ExportSummary, LabelSet
from shoal_common.convert import frame_poses
from shoal_common.status import typed_errors
from shoal_core.pose import FramePoses


class Labels:
    """The label sets of one project."""

    def __init__(self, channel: grpc.Channel, peer: str, project: str) -> None:
        self._stub = labels_pb2_grpc.LabelsServiceStub(channel)
        self._peer = peer
        self._parent = f"projects/{project}"

    def import_(self, uri: str) -> tuple[LabelSet, ...]:
        """Returns the label sets of a file, one per video; the same file again, the same ones.

        Args:
            uri: Absolute path or file:// URI, as the services see it.

        Raises:
            NotFound: LABELS_NOT_FOUND.
            InvalidArgument: LABELS_UNREADABLE.
            PermissionDenied: PATH_OUTSIDE_ROOTS.
        """
        request = labels_pb2.ImportLabelsRequest(parent=self._parent, uri=uri)
        with typed_errors(self._peer):
            response = self._stub.ImportLabels(request, timeout=TRANSFER_S)
        return tuple(map(convert.label_set, response.label_sets))

    def get(self, name: str) -> LabelSet:
        """Returns projects/{project}/labelSets/{label_set}.

        Raises:
            NotFound: LABEL_SET_NOT_FOUND.
        """
        request = labels_pb2.GetLabelSetRequest(name=name)
        with typed_errors(self._peer):
            response = self._stub.GetLabelSet(request, timeout=QUICK_S)
        return convert.label_set(response.label_set)

    def list(self) -> Iterator[LabelSet]:
        """Yields the project's label sets by name, ascending."""
        page_token = ""
        while True:
            request = labels_pb2.ListLabelSetsRequest(
                parent=self._parent, page_size=PAGE_SIZE, page_token=page_token
            )
            with typed_errors(self._peer):
                response = self._stub.ListLabelSets(request, timeout=QUICK_S)
            yield from map(convert.label_set, response.label_sets)
            page_token = response.next_page_token
            if not page_token:
                return

    def delete(self, name: str) -> None:
        """Deletes a label set and its segments.

        Raises:
            NotFound: LABEL_SET_NOT_FOUND.
        """
        request = labels_pb2.DeleteLabelSetRequest(name=name)
        with typed_errors(self._peer):
            self._stub.DeleteLabelSet(request, timeout=QUICK_S)

    def export(
        self,
        label_sets: Sequence[str],
        uri: str,
        *,
        video_uris: Sequence[str] = (),
        provenance: Mapping[str, Any] | None = None,
    ) -> ExportSummary:
        """Writes label sets, each of another video, into one SLEAP file.

        A file that is there is replaced as a whole or stays.

        Args:
            label_sets: Their names, in the order in which the file lists the videos.
            uri: Absolute path or file:// URI as the services see it: .slp, or .h5 for SLEAP's
                analysis format, which holds one label set.
            video_uris: Where each label set's video lies now, as the services see it; empty for
                where it lay when the label set was made.
            provenance: JSON values that are added to the file's provenance.

        Raises:
            NotFound: LABEL_SET_NOT_FOUND.
            FailedPrecondition: SKELETONS_DIFFER or TRACKS_MISSING.
            InvalidArgument: OUTPUT_INVALID or VIDEO_URIS_INVALID.
            PermissionDenied: PATH_OUTSIDE_ROOTS.
            ResourceExhausted: DISK_FULL.
        """
        request = labels_pb2.ExportLabelsRequest(
            label_sets=label_sets,
            uri=uri,
            video_uris=video_uris,
            provenance_json=json.dumps(provenance) if provenance else "",
        )
        with typed_errors(self._peer):
            response = self._stub.ExportLabels(request, timeout=TRANSFER_S)
        return ExportSummary(response.frame_count, response.instance_count)

    def stream_poses(self, label_set: str, frames: range | None = None) -> Iterator[FramePoses]:
        """Yields the poses of a label set in increasing frame order.

        Raises:
            NotFound: LABEL_SET_NOT_FOUND.
            DataLoss: SEGMENT_DAMAGED.
        """
        request = labels_pb2.StreamPosesRequest(
            label_set=label_set,
            range=None if frames is None else convert.frame_range_message(frames),
        )
        call = self._stub.StreamPoses(request, timeout=TRANSFER_S)
        try:
            with typed_errors(self._peer):
                for response in call:
                    yield from frame_poses(response.poses)
        finally:
            call.cancel()
