"""Tensors out of a PyTorch checkpoint, without PyTorch and without running what it holds.

A checkpoint is a zip archive: `<name>/data.pkl` is a pickle that says which tensors there are,
`<name>/data/<key>` are their numbers, uncompressed. A pickle may name any function to be
called. Here only tensors are put together; types that training runs are known to leave behind
become objects that do nothing, and any other name refuses the file.
"""

import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument

STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "bf2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "u1",
}
"""Class of a storage → kind and bytes of its numbers."""

INERT_ROOTS = (
    "collections",
    "lightning",
    "lightning_fabric",
    "numpy",
    "omegaconf",
    "pathlib",
    "pytorch_lightning",
    "sleap_nn",
    "torch",
    "typing",
)
"""Packages whose names stand for objects that do nothing."""
INERT_NAMES = (
    *("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "getitem", "int"),
    *("list", "long", "object", "set", "slice", "str", "tuple", "unicode"),
)
"""Types of Python, and `getitem` as in `Dict[str, int]`, that stand for such objects."""

_MAX_PICKLE_BYTES = 64 << 20
_DAMAGED = (
    ArithmeticError,
    AttributeError,
    BadZipFile,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)
"""What broken archives and pickles raise."""


class _Inert:
    """Stands for an object that is no tensor; takes whatever a pickle does to it."""

    def __init__(self, *arguments: object, **named: object) -> None:
        """Takes any arguments."""

    def __setstate__(self, state: object) -> None:
        """Keeps nothing."""

    def __setitem__(self, key: object, value: object) -> None:
        """Keeps nothing."""

    def append(self, value: object) -> None:
        """Keeps nothing."""

    def extend(self, values: object) -> None:
        """Keeps nothing."""


@dataclass(frozen=True)
class _Storage:
    numbers: str
    key: str
    length: int


@dataclass(frozen=True)
class _Tensor:
    """Where a tensor lies in its storage; offset and strides count numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_state_dict(path: Path) -> dict[str, NDArray[np.float32]]:
    """Returns the tensors of a checkpoint's `state_dict` by name, as float32.

    Raises:
        InvalidArgument: MODEL_FILE_MISSING, MODEL_FILE_DAMAGED, or MODEL_FILE_UNSAFE when the
            file names something that a training run does not leave behind.
    """
    if not path.is_file():
        raise InvalidArgument(
            "MODEL_FILE_MISSING",
            f"{path.parent} has no {path.name}; copy it from the training run.",
            file=path,
        )
    try:
        with ZipFile(path) as archive:
            return _read_archive(_Archive(path, archive))
    except _DAMAGED as error:
        raise InvalidArgument(
            "MODEL_FILE_DAMAGED",
            f"{path} is truncated or not a PyTorch checkpoint; copy it from the training run "
            "again.",
            file=path,
        ) from error


class _Archive:
    """The entries of a checkpoint."""

    def __init__(self, path: Path, archive: ZipFile) -> None:
        self.path = path
        self._archive = archive
        (pickled,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        self._root = pickled.removesuffix("data.pkl")
        named = f"{self._root}byteorder" in archive.namelist()
        order = self.read("byteorder", 16) if named else b"little"
        self.byte_order = {b"little": "<", b"big": ">"}[order]

    def read(self, name: str, max_bytes: int) -> bytes:
        """Returns an entry; raises ValueError where it is compressed or longer than it may be."""
        entry = self._archive.getinfo(self._root + name)
        if entry.compress_type != ZIP_STORED or entry.file_size > max_bytes:
            raise ValueError(f"{entry.filename} is not as PyTorch writes it")
        return self._archive.read(entry)


def _read_archive(archive: _Archive) -> dict[str, NDArray[np.float32]]:
    pickled = io.BytesIO(archive.read("data.pkl", _MAX_PICKLE_BYTES))
    checkpoint = _Unpickler(pickled, archive.path).load()
    tensors: Mapping[object, object] = checkpoint["state_dict"]
    return {
        name: _numbers(archive, tensor)
        for name, tensor in tensors.items()
        if isinstance(name, str) and isinstance(tensor, _Tensor)
    }


def _numbers(archive: _Archive, tensor: _Tensor) -> NDArray[np.float32]:
    storage = tensor.storage
    length = math.prod(tensor.shape)
    reach = sum(
        (size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    counts = (*tensor.shape, *tensor.strides, tensor.offset)
    inside = length == 0 or tensor.offset + reach < storage.length
    if min(counts) < 0 or length > storage.length or not inside:
        raise ValueError(f"a tensor does not fit storage {storage.key}")
    width = int(storage.numbers[-1])
    data = archive.read(f"data/{storage.key}", storage.length * width)
    if storage.numbers == "bf2":
        # The upper half of a float32.
        halves = np.frombuffer(data, f"{archive.byte_order}u2").astype(np.uint32)
        flat = (halves << np.uint32(16)).view(np.float32)
    else:
        flat = np.frombuffer(data, archive.byte_order + storage.numbers).astype(np.float32)
    if len(flat) != storage.length:
        raise ValueError(f"storage {storage.key} is cut")
    steps = [4 * stride for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, steps)
    return np.array(view, np.float32)


class _Unpickler(pickle.Unpickler):
    """Puts tensors together and nothing else."""

    def __init__(self, file: io.BytesIO, path: Path) -> None:
        super().__init__(file)
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        """Returns what a name stands for here; nothing is ever imported."""
        match module, name:
            case "collections", "OrderedDict":
                return OrderedDict
            case "torch._utils", "_rebuild_tensor_v2":
                return _tensor
            case "torch._utils", "_rebuild_parameter":
                return _parameter
            case "torch", _ if name in STORAGES:
                return STORAGES[name]
            case "builtins" | "__builtin__" | "operator" | "_operator", _ if name in INERT_NAMES:
                return _Inert
            case _ if module.partition(".")[0] in INERT_ROOTS:
                return _Inert
        called = f"{module}.{name}"[:100]
        raise InvalidArgument(
            "MODEL_FILE_UNSAFE",
            f"{self._path} would run {called!r} when it is loaded, which no training run of "
            "sleap-nn asks for; take the file from a source that you trust.",
            file=self._path,
            name=called,
        )

    def persistent_load(self, pid: Any) -> _Storage:
        """Returns the storage that ("storage", class, key, device, length) stands for."""
        _, numbers, key, _, length = pid
        if numbers not in STORAGES.values():
            raise ValueError(f"storage {key} holds no plain numbers")
        return _Storage(numbers, str(key), int(length))


def _tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


def _parameter(data: _Tensor, *_: object) -> _Tensor:
    return data
