"""Laws of the conversion child: whatever it does, the caller gets a typed error or a folder."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from shoal_common.inference.chain import CONTRACT_FILE
from shoal_core.errors import Internal, InvalidArgument, ResourceExhausted, ShoalError
from shoal_serving.conversion import Conversion, ConversionLimits
from tests.fakes.model_versions import CONTRACT, model_folder

LIMITS = ConversionLimits(seconds=60, memory_bytes=4 * 2**30)


def conversion(behaviour: str, limits: ConversionLimits = LIMITS) -> Conversion:
    return Conversion(
        limits, command=(sys.executable, "-m", "tests.fakes.conversion_child", behaviour)
    )


@pytest.fixture(autouse=True)
def _fakes_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[3]))


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "version"


@pytest.mark.parametrize("behaviour", ["works", "chatty"])
async def test_an_importer_that_works_fills_the_folder(
    behaviour: str, tmp_path: Path, destination: Path
) -> None:
    await conversion(behaviour).run([model_folder(tmp_path / "m")], destination)
    assert (destination / CONTRACT_FILE).read_text() == CONTRACT.to_json()


async def test_a_typed_error_of_the_importer_arrives_as_it_was_raised(
    tmp_path: Path, destination: Path
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await conversion("works").run([tmp_path], destination)
    assert caught.value.reason == "MODEL_FILE_MISSING"
    assert caught.value.metadata == {"path": str(tmp_path)}


@pytest.mark.parametrize(
    ("behaviour", "error_type", "reason"),
    [
        ("full_disk", ResourceExhausted, "DISK_FULL"),
        ("hungry", ResourceExhausted, "IMPORT_OUT_OF_MEMORY"),
        ("killed", ResourceExhausted, "IMPORT_OUT_OF_MEMORY"),
        ("aborts", ResourceExhausted, "IMPORT_OUT_OF_MEMORY"),
        ("segfaults", Internal, "IMPORT_CRASHED"),
        ("exits", Internal, "IMPORT_CRASHED"),
        ("bug", Internal, "INTERNAL"),
    ],
)
async def test_every_other_end_of_the_child_has_a_reason_of_its_own(
    behaviour: str, error_type: type[ShoalError], reason: str, tmp_path: Path, destination: Path
) -> None:
    with pytest.raises(error_type) as caught:
        await conversion(behaviour).run([model_folder(tmp_path / "m")], destination)
    assert caught.value.reason == reason
    assert "\n" not in caught.value.message
    assert "secret" not in caught.value.message


async def test_a_child_that_takes_too_long_is_ended(tmp_path: Path, destination: Path) -> None:
    limits = ConversionLimits(seconds=3, memory_bytes=LIMITS.memory_bytes)
    os.mkfifo(destination.parent / "pid")
    pid = asyncio.create_task(asyncio.to_thread((destination.parent / "pid").read_text))
    with pytest.raises(ResourceExhausted) as caught:
        await conversion("endless", limits).run([model_folder(tmp_path / "m")], destination)
    assert caught.value.reason == "IMPORT_TIMED_OUT"
    assert not is_running(await pid)


async def test_a_caller_that_gives_up_ends_the_child(tmp_path: Path, destination: Path) -> None:
    os.mkfifo(destination.parent / "pid")
    running = asyncio.create_task(
        conversion("endless").run([model_folder(tmp_path / "m")], destination)
    )
    pid = await asyncio.to_thread((destination.parent / "pid").read_text)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not is_running(pid)


async def test_the_child_dies_with_its_parent(tmp_path: Path, destination: Path) -> None:
    os.mkfifo(destination.parent / "pid")
    lifeline, parents_end = os.pipe()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fakes.conversion_child", "endless"),
        *("--seconds=60", f"--memory-bytes={LIMITS.memory_bytes}", "--task=import"),
        *(str(destination), str(model_folder(tmp_path / "m"))),
        stdin=lifeline,
    )
    os.close(lifeline)
    await asyncio.to_thread((destination.parent / "pid").read_text)
    os.close(parents_end)
    assert await child.wait() == 1


def is_running(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    return True
