"""From model folders to a registered version."""

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from shoal_core.errors import NotFound
from shoal_serving.conversion import Conversion
from shoal_serving.registry import STAGED_FOLDER, Registry, Source, Version

_CONVERTER = ("importing", "graphs")
_MODEL_FILES = (
    *("training_config.json", "best_model.h5"),
    *("training_config.yaml", "best.ckpt"),
    *("shoal_model.json", "network.onnx", "parity.npz"),
)
_DEPTHS = ("", "*/", "*/model/")
"""Where they lie: in the folder, in that of a stage (or of a run), in the run folder of a stage."""


class Imports:
    """Imports models one after another: each conversion may take all the memory allowed."""

    def __init__(
        self,
        *,
        registry: Registry,
        conversion: Conversion,
        converter: str,
        now: Callable[[], datetime],
    ) -> None:
        self._registry = registry
        self._converter = converter
        self._conversion = conversion
        self._now = now
        self._turn = asyncio.Lock()

    async def run(self, model_id: str, folders: Mapping[str, Path]) -> tuple[Version, bool]:
        """Returns the version made of the folders, and whether it was there before.

        Args:
            model_id: Name to register it under.
            folders: Model folders by the URIs that the caller gave.

        Raises:
            NotFound: MODEL_FOLDER_NOT_FOUND.
            ShoalError: What `Conversion.run` and `Registry.publish` raise.
        """
        paths = tuple(folders.values())
        async with self._turn:
            content_hash = await asyncio.to_thread(source_hash, paths)
            known = await asyncio.to_thread(
                self._registry.version_of, model_id, content_hash, self._converter
            )
            if known is not None:
                return known, True
            workspace = await self._convert(paths)
            source = Source(tuple(folders), content_hash, self._converter)
            version = await asyncio.to_thread(
                self._registry.publish, model_id, workspace, source=source, create_time=self._now()
            )
            return version, False

    async def _convert(self, folders: tuple[Path, ...]) -> Path:
        workspace = await asyncio.to_thread(self._registry.new_workspace)
        is_converted = False
        try:
            await self._conversion.run(folders, workspace / STAGED_FOLDER)
            is_converted = True
        finally:
            if not is_converted:
                await asyncio.to_thread(self._registry.discard, workspace)
        return workspace


def converter_hash() -> str:
    """Returns the SHA-256 over the code that makes graphs of models, in hexadecimal.

    A number to be raised by hand would be forgotten, and a model imported by an older release
    would keep what that release got wrong.
    """
    package = Path(__file__).parent
    sources = sorted(path for part in _CONVERTER for path in (package / part).glob("*.py"))
    return hashlib.sha256("\n".join(map(_file_digest, sources)).encode()).hexdigest()


def source_hash(folders: tuple[Path, ...]) -> str:
    """Returns the SHA-256 over the model files in the folders, in hexadecimal.

    Those of subfolders count, because a folder may hold both stages of a top-down model.
    Neither the folders' names nor their order count, nor do other files: a training run
    leaves logs and pictures beside its model.

    Raises:
        NotFound: MODEL_FOLDER_NOT_FOUND.
    """
    digests = []
    for folder in folders:
        if not folder.is_dir():
            raise NotFound(
                "MODEL_FOLDER_NOT_FOUND",
                f"There is no model folder {folder}; give the folder that the training wrote.",
                path=folder,
            )
        paths = itertools.chain.from_iterable(
            folder.glob(depth + name) for name in _MODEL_FILES for depth in _DEPTHS
        )
        digests += [_file_digest(path) for path in paths]
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}"
