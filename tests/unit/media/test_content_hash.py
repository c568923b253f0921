"""The fingerprint names the content, not the file."""

from pathlib import Path

import numpy as np
import pytest

from shoal_media.content_hash import hash_file, hash_images

MIB = 1 << 20


@pytest.fixture(params=[1000, 5 * MIB], ids=["small", "sampled"])
def content(request: pytest.FixtureRequest) -> bytes:
    return np.random.default_rng(5).bytes(request.param)


def _hash(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return hash_file(path)


def test_a_copy_has_the_same_hash(tmp_path: Path, content: bytes) -> None:
    assert _hash(tmp_path / "a", content) == _hash(tmp_path / "b", content)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content + b"\0",
        lambda content: content[:-1],
        lambda content: bytes([content[0] ^ 1]) + content[1:],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    ],
    ids=["longer", "shorter", "head", "tail"],
)
def test_a_change_of_size_or_ends_changes_the_hash(tmp_path: Path, content: bytes, change) -> None:
    assert _hash(tmp_path / "a", content) != _hash(tmp_path / "b", change(content))


def test_images_count_by_name_size_and_content(tmp_path: Path) -> None:
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path in paths:
        path.write_bytes(path.name.encode() * 100)
    before = hash_images(paths)
    assert hash_images(paths) == before
    assert hash_images(paths[:2]) != before
    paths[1].write_bytes(b"x" * paths[1].stat().st_size)
    assert hash_images(paths) != before
