"""A version for others: as one ONNX graph with an example, or as a Triton repository."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, assert_never

from shoal_common.inference.chain import COMPOSED_FILE, CONTRACT_FILE
from shoal_serving.triton_repository import TritonLimits, write_model

ExportFormat = Literal["onnx", "triton"]

_CHUNK_BYTES = 1 << 20
_EXAMPLE = Path(__file__).with_name("templates") / "example.py"
_TRITON_INSTANCES = 1
"""Processes in an exported configuration: whoever serves it knows his machine."""


def write_export(folder: Path, export_format: ExportFormat, model_id: str, version: Path) -> None:
    """Fills a folder.

    Args:
        folder: An empty folder on the registry's file system.
        export_format: `onnx`: model.onnx, contract.json and example.py; `triton`: a repository
            with one model for Triton's Python backend.
        model_id: The model's name.
        version: The version's folder.
    """
    match export_format:
        case "onnx":
            for name in (COMPOSED_FILE, CONTRACT_FILE):
                (folder / name).hardlink_to(version / name)
            (folder / _EXAMPLE.name).write_bytes(_EXAMPLE.read_bytes())
        case "triton":
            write_model(folder / model_id, model_id, version, TritonLimits(_TRITON_INSTANCES))
        case _:
            assert_never(export_format)


def chunks(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yields the files of a folder in pieces: their paths in it, and what comes next of them."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            with path.open("rb") as file:
                yield name, file.read(_CHUNK_BYTES)
                while chunk := file.read(_CHUNK_BYTES):
                    yield name, chunk
