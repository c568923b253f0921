"""Models, through shoal.serving.v1."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Literal

import grpc

from shoal.serving.v1 import serving_pb2, serving_pb2_grpc
from shoal_client import convert
from shoal_client.limits import PAGE_SIZE, QUICK_S, TRANSFER_S
from shoal_client.types import Alias, Model, ModelComparison, ModelVersion
from shoal_common.convert import tensor
from shoal_common.status import typed_errors
from shoal_core.errors import AlreadyExists, Internal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


ExportFormat = Literal["onnx", "triton"]

_EXPORT_FORMATS: Mapping[ExportFormat, serving_pb2.ExportFormat.ValueType] = {
    "onnx": serving_pb2.EXPORT_FORMAT_ONNX,
    "triton": serving_pb2.EXPORT_FORMAT_TRITON,
}


class Models:
    """The model registry."""

    def __init__(self, channel: grpc.Channel, peer: str) -> None:
        self._stub = serving_pb2_grpc.ServingServiceStub(channel)
        self._peer = peer

    def import_(self, source_uris: Sequence[str], *, name: str) -> ModelVersion:
        """Returns the version made of model folders; the same files again return the same one.

        Args:
            source_uris: One folder, or the two stages of a top-down model in any order, as
                absolute paths or file:// URIs that the services see.
            name: {model} of models/{model}; an existing model gets a new version.

        Raises:
            NotFound: MODEL_FOLDER_NOT_FOUND.
            InvalidArgument: NAME_INVALID, MODEL_FILE_MISSING, MODEL_CONFIG_INVALID,
                MODEL_WEIGHTS_MISMATCH or MODEL_KIND_UNSUPPORTED.
            PermissionDenied: PATH_OUTSIDE_ROOTS.
        """
        request = serving_pb2.ImportModelRequest(model_id=name, source_uris=source_uris)
        with typed_errors(self._peer):
            response = self._stub.ImportModel(request, timeout=TRANSFER_S)
        return convert.model_version(response.version)

    def tune(self, name: str, frames_FHWC: "NDArray[np.uint8]") -> ModelVersion:
        """Has the fastest backend chosen for each network of a version; returns the version.

        Args:
            name: models/{model}, or one of its aliases or versions.
            frames_FHWC: Frames with animals, [F, H, W, C] of 1 or 3 channels: all are compared,
                the first eight are timed.

        Raises:
            NotFound: MODEL_NOT_FOUND, VERSION_NOT_FOUND or ALIAS_NOT_FOUND.
            FailedPrecondition: CENTROIDS_NEEDED, NOTHING_TO_COMPARE or NOTHING_TO_CALIBRATE.
            InvalidArgument: FRAMES_INVALID.
        """
        return self._tuned(serving_pb2.TuneModelRequest(name=name, frames=tensor(frames_FHWC)))

    def pin(self, name: str, backend: str) -> ModelVersion:
        """Has all networks of a version run in one backend; returns the version.

        Raises:
            NotFound: MODEL_NOT_FOUND, VERSION_NOT_FOUND or ALIAS_NOT_FOUND.
            InvalidArgument: BACKEND_UNKNOWN.
            FailedPrecondition: MODEL_LOAD_FAILED when the engine cannot run it so.
        """
        return self._tuned(serving_pb2.TuneModelRequest(name=name, backend=backend))

    def _tuned(self, request: serving_pb2.TuneModelRequest) -> ModelVersion:
        with typed_errors(self._peer):
            response = self._stub.TuneModel(request, timeout=TRANSFER_S)
        return convert.model_version(response.version)

    def compare(self, names: tuple[str, str], frames_FHWC: "NDArray[np.uint8]") -> ModelComparison:
        """Returns what two versions find in the same frames, how far apart, and how fast.

        Args:
            names: Each models/{model}, or one of its aliases or versions.
            frames_FHWC: Frames with animals, [F, H, W, C] of 1 or 3 channels.

        Raises:
            NotFound: MODEL_NOT_FOUND, VERSION_NOT_FOUND or ALIAS_NOT_FOUND.
            InvalidArgument: SKELETONS_DIFFER or FRAMES_INVALID.
            FailedPrecondition: CENTROIDS_NEEDED.
        """
        request = serving_pb2.CompareModelsRequest(names=names, frames=tensor(frames_FHWC))
        with typed_errors(self._peer):
            response = self._stub.CompareModels(request, timeout=TRANSFER_S)
        return convert.comparison(response)

    def export(self, name: str, folder: Path, *, export_format: ExportFormat = "onnx") -> None:
        """Writes a version for other programs; the folder appears whole or not at all.

        Args:
            name: models/{model}, or one of its aliases or versions.
            folder: Where to; must not exist.
            export_format: `onnx`: model.onnx, contract.json and example.py; `triton`: a repository
                for Triton's Python backend.

        Raises:
            AlreadyExists: FOLDER_EXISTS.
            NotFound: MODEL_NOT_FOUND, VERSION_NOT_FOUND or ALIAS_NOT_FOUND.
        """
        if folder.exists():
            raise AlreadyExists(
                "FOLDER_EXISTS", f"{folder} is there already; name a folder that is not."
            )
        request = serving_pb2.ExportModelRequest(name=name, format=_EXPORT_FORMATS[export_format])
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            with typed_errors(self._peer):
                for piece in self._stub.ExportModel(request, timeout=TRANSFER_S):
                    _append(draft, piece)
            draft.chmod(0o755)
            draft.rename(folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def list(self) -> Iterator[Model]:
        """Yields the models by name, ascending."""
        page_token = ""
        while True:
            request = serving_pb2.ListModelsRequest(page_size=PAGE_SIZE, page_token=page_token)
            with typed_errors(self._peer):
                response = self._stub.ListModels(request, timeout=QUICK_S)
            yield from map(convert.model, response.models)
            page_token = response.next_page_token
            if not page_token:
                return

    def get(self, name: str) -> Model:
        """Returns models/{model}.

        Raises:
            NotFound: MODEL_NOT_FOUND.
        """
        with typed_errors(self._peer):
            response = self._stub.GetModel(serving_pb2.GetModelRequest(name=name), timeout=QUICK_S)
        return convert.model(response.model)

    def delete(self, name: str) -> None:
        """Deletes models/{model} with its versions and aliases.

        Raises:
            NotFound: MODEL_NOT_FOUND.
        """
        with typed_errors(self._peer):
            self._stub.DeleteModel(serving_pb2.DeleteModelRequest(name=name), timeout=QUICK_S)

    def set_alias(self, name: str, version: str) -> Alias:
        """Points models/{model}/aliases/{alias} at models/{model}/versions/{version}.

        Raises:
            NotFound: MODEL_NOT_FOUND.
        """
        request = serving_pb2.SetAliasRequest(name=name, version=version)
        with typed_errors(self._peer):
            response = self._stub.SetAlias(request, timeout=QUICK_S)
        return convert.alias(response.alias)

    def roll_back_alias(self, name: str) -> Alias:
        """Points models/{model}/aliases/{alias} at the version that it named before.

        Raises:
            NotFound: MODEL_NOT_FOUND or ALIAS_NOT_FOUND.
            FailedPrecondition: NOTHING_TO_ROLL_BACK when it has named no other version.
        """
        request = serving_pb2.RollBackAliasRequest(name=name)
        with typed_errors(self._peer):
            response = self._stub.RollBackAlias(request, timeout=QUICK_S)
        return convert.alias(response.alias)

    def delete_alias(self, name: str) -> None:
        """Removes models/{model}/aliases/{alias}.

        Raises:
            NotFound: ALIAS_NOT_FOUND.
        """
        with typed_errors(self._peer):
            self._stub.DeleteAlias(serving_pb2.DeleteAliasRequest(name=name), timeout=QUICK_S)


def _append(folder: Path, piece: serving_pb2.ExportModelResponse) -> None:
    path = folder / piece.path
    if not path.resolve().is_relative_to(folder.resolve()):
        raise Internal("EXPORT_INVALID", f"The export holds {piece.path!r}, which lies outside it.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(piece.data)
