"""System shared memory: frames that the engine reads, and outputs that it writes, in place."""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException
from tritonclient.utils import shared_memory as triton_shm

from shoal_common.shm import FrameRing

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def client(engine) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(engine.target) as client:
        yield client
        client.unregister_system_shared_memory()


@pytest.fixture
def key() -> Iterator[str]:
    """A shared memory object of 256 bytes that holds X at its start."""
    name = f"test-{secrets.token_hex(8)}"
    path = Path("/dev/shm") / name
    path.write_bytes(X.tobytes().ljust(256, b"\0"))
    yield f"/{name}"
    path.unlink()


def from_region(region: str, offset: int = 0, byte_size: int = X.nbytes) -> triton.InferInput:
    given = triton.InferInput("x", list(X.shape), "FP32")
    given.set_shared_memory(region, byte_size, offset)
    return given


def to_region(region: str, byte_size: int, offset: int = 0) -> triton.InferRequestedOutput:
    wanted = triton.InferRequestedOutput("y")
    wanted.set_shared_memory(region, byte_size, offset)
    return wanted


def test_nvidias_own_regions_work_both_ways(client: triton.InferenceServerClient) -> None:
    key = f"/test-{secrets.token_hex(8)}"
    region = triton_shm.create_shared_memory_region("both", key, 2 * X.nbytes)
    try:
        triton_shm.set_shared_memory_region(region, [X])
        client.register_system_shared_memory("both", key, 2 * X.nbytes)
        output = to_region("both", X.nbytes, offset=X.nbytes)
        result = client.infer("plus", [from_region("both")], outputs=[output])
        written = triton_shm.get_contents_as_numpy(region, np.float32, X.shape, X.nbytes)
        np.testing.assert_array_equal(written, X + 3)
        parameters = result.get_output("y").parameters
        assert parameters["shared_memory_region"].string_param == "both"
        assert parameters["shared_memory_byte_size"].int64_param == X.nbytes
        assert not any(result.get_response().raw_output_contents)
        del written
    finally:
        client.unregister_system_shared_memory("both")
        triton_shm.destroy_shared_memory_region(region)


def test_frames_of_a_ring_are_read_in_place(client: triton.InferenceServerClient) -> None:
    ring = FrameRing.create(8, 5 * 7)
    try:
        client.register_system_shared_memory("ring", ring.name, ring.data_bytes)
        ring.acquire(3)
        slots = ring.acquire(5)
        frames = np.random.default_rng(0).integers(0, 256, (5, 5, 7, 1), np.uint8)
        ring.view(slots, (5, 7, 1))[:] = frames
        images = triton.InferInput("images", [5, 5, 7, 1], "UINT8")
        images.set_shared_memory("ring", frames.nbytes, ring.offset_bytes(slots))
        scores = client.infer("brightness", [images]).as_numpy("instance_scores")
        np.testing.assert_array_equal(scores[:, 0], frames.sum(axis=(1, 2, 3)))
    finally:
        ring.close()


def test_shared_and_inline_inputs_mix(client: triton.InferenceServerClient, key: str) -> None:
    client.register_system_shared_memory("mixed", key, 256)
    images = triton.InferInput("images", [1, 4, 6, 1], "UINT8")
    images.set_shared_memory("mixed", 24)
    threshold = triton.InferInput("peak_threshold", [1, 1], "FP32")
    threshold.set_data_from_numpy(np.array([[0.5]], np.float32))
    for inputs in ([images, threshold], [threshold, images]):
        assert client.infer("brightness", inputs).as_numpy("thresholds") == [[0.5]]


def test_registered_regions_are_listed(client: triton.InferenceServerClient, key: str) -> None:
    client.register_system_shared_memory("one", key, 100, 28)
    client.register_system_shared_memory("two", key, 256)
    regions = client.get_system_shared_memory_status().regions
    assert {name: (r.key, r.offset, r.byte_size) for name, r in regions.items()} == {
        "one": (key, 28, 100),
        "two": (key, 0, 256),
    }
    assert list(client.get_system_shared_memory_status("two").regions) == ["two"]
    client.unregister_system_shared_memory("one")
    assert list(client.get_system_shared_memory_status().regions) == ["two"]


def test_a_region_may_begin_inside_its_object(
    client: triton.InferenceServerClient, key: str
) -> None:
    client.register_system_shared_memory("inner", key, 12, 12)
    images = triton.InferInput("x", [1, 3], "FP32")
    images.set_shared_memory("inner", 12)
    np.testing.assert_array_equal(client.infer("plus", [images]).as_numpy("y"), X[1:] + 3)


def refused(status: str, message: str) -> pytest.RaisesExc[InferenceServerException]:
    return pytest.RaisesExc(
        InferenceServerException,
        match=message,
        check=lambda error: error.status() == f"StatusCode.{status}",
    )


def test_a_name_is_registered_once(client: triton.InferenceServerClient, key: str) -> None:
    client.register_system_shared_memory("once", key, 256)
    with refused("ALREADY_EXISTS", "'once' is registered already"):
        client.register_system_shared_memory("once", key, 256)


@pytest.mark.parametrize(
    ("shm_key", "status"),
    [
        ("/no-such-object", "NOT_FOUND"),
        ("/../../etc/passwd", "INVALID_ARGUMENT"),
        ("/..", "INVALID_ARGUMENT"),
        ("", "INVALID_ARGUMENT"),
    ],
)
def test_only_shared_memory_objects_are_opened(
    client: triton.InferenceServerClient, shm_key: str, status: str
) -> None:
    with refused(status, "shared memory region"):
        client.register_system_shared_memory("bad", shm_key, 10)


def test_a_link_out_of_shared_memory_is_not_followed(client: triton.InferenceServerClient) -> None:
    link = Path("/dev/shm") / f"test-{secrets.token_hex(8)}"
    link.symlink_to("/etc/passwd")
    try:
        with refused("PERMISSION_DENIED", "may not be opened"):
            client.register_system_shared_memory("link", f"/{link.name}", 10)
    finally:
        link.unlink()


@pytest.mark.parametrize(("byte_size", "offset"), [(257, 0), (256, 1), (0, 0)])
def test_a_region_lies_within_its_object(
    client: triton.InferenceServerClient, key: str, byte_size: int, offset: int
) -> None:
    with refused("INVALID_ARGUMENT", "does not lie within its object of 256 bytes"):
        client.register_system_shared_memory("outside", key, byte_size, offset)


def test_an_unregistered_region_is_not_found(client: triton.InferenceServerClient) -> None:
    with refused("NOT_FOUND", "region 'gone' is not registered"):
        client.infer("plus", [from_region("gone")])
    with refused("NOT_FOUND", "region 'gone' is not registered"):
        client.get_system_shared_memory_status("gone")
    client.unregister_system_shared_memory("gone")


@pytest.mark.parametrize(
    ("offset", "byte_size", "message"),
    [
        (256 - 23, 24, "reach out of shared memory region 'small'"),
        (-1, 24, "reach out of shared memory region 'small'"),
        (0, 23, "needs 24 bytes, got 23"),
        (0, 25, "needs 24 bytes, got 25"),
    ],
)
def test_an_input_lies_within_its_region(
    client: triton.InferenceServerClient, key: str, offset: int, byte_size: int, message: str
) -> None:
    client.register_system_shared_memory("small", key, 256)
    with refused("INVALID_ARGUMENT", message):
        client.infer("plus", [from_region("small", offset, byte_size)])


@pytest.mark.parametrize(
    ("offset", "byte_size", "message"),
    [(0, 23, "has 24 bytes; shared memory for it has 23"), (240, 24, "reach out of")],
)
def test_an_output_fits_into_its_region(
    client: triton.InferenceServerClient, key: str, offset: int, byte_size: int, message: str
) -> None:
    client.register_system_shared_memory("out", key, 256)
    with refused("INVALID_ARGUMENT", message):
        client.infer("plus", [from_region("out")], outputs=[to_region("out", byte_size, offset)])


def test_regions_of_dead_owners_are_forgotten(client: triton.InferenceServerClient) -> None:
    code = (
        "import sys\n"
        "from shoal_common.shm import FrameRing\n"
        "print(FrameRing.create(2, 24).name, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with (
        closing(FrameRing.create(2, 24)) as ring,
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as owner,
    ):
        name = owner.stdout.readline().strip()
        client.register_system_shared_memory("theirs", name, 48)
        client.register_system_shared_memory("ours", ring.name, 48)
        assert set(client.get_system_shared_memory_status().regions) == {"theirs", "ours"}
        owner.kill()
        owner.wait()
        client.register_system_shared_memory("ours again", ring.name, 48)
        assert set(client.get_system_shared_memory_status().regions) == {"ours", "ours again"}
