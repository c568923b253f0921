"""A fast fingerprint of a video, the same for a copy of it under another name.

For a file: BLAKE2b (128 bits) of its size, its first and last MiB and 16 blocks of 64 KiB
evenly spaced between them: 3 MiB are read, however large the file. Files of at most 3 MiB are
hashed whole. For a folder of images: the names and sizes of all images, and the first 64 KiB
of 16 of them, evenly spaced. For a dataset: its name and the file. Modification
times and paths do not count.

A change of single bytes far from every block stays unseen; every encoder, cut or repair
changes the size or the ends.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

_END_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 16
_BLOCK_COUNT = 16


def hash_file(path: Path) -> str:
    """Returns the fingerprint of one file, 32 hexadecimal digits."""
    size = path.stat().st_size
    digest = _digest(f"file {size}")
    with path.open("rb") as file:
        if size <= 2 * _END_BYTES + _BLOCK_COUNT * _BLOCK_BYTES:
            digest.update(file.read())
            return digest.hexdigest()
        digest.update(file.read(_END_BYTES))
        inner_bytes = size - 2 * _END_BYTES - _BLOCK_BYTES
        for block in range(_BLOCK_COUNT):
            file.seek(_END_BYTES + inner_bytes * block // (_BLOCK_COUNT - 1))
            digest.update(file.read(_BLOCK_BYTES))
        file.seek(size - _END_BYTES)
        digest.update(file.read(_END_BYTES))
    return digest.hexdigest()


def hash_dataset(path: Path, dataset: str) -> str:
    """Returns the fingerprint of one dataset of a file, 32 hexadecimal digits."""
    return _digest(f"dataset {dataset} {hash_file(path)}").hexdigest()


def hash_images(paths: Sequence[Path]) -> str:
    """Returns the fingerprint of images in their order, 32 hexadecimal digits."""
    digest = _digest(f"images {len(paths)}")
    for path in paths:
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
    sample_count = min(_BLOCK_COUNT, len(paths))
    for sample in range(sample_count):
        path = paths[sample * (len(paths) - 1) // max(1, sample_count - 1)]
        with path.open("rb") as file:
            digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()


def _digest(kind: str) -> "hashlib.blake2b":
    digest = hashlib.blake2b(digest_size=16)
    digest.update(kind.encode())
    return digest
