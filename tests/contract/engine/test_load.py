"""What happens when more is asked than can be done at once."""

import threading
from pathlib import Path

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from shoal_common.watchdog import STUCK_STATUS
from tests.fakes import onnx_models
from tests.fakes.engine_process import running_engine

TRIPS = 100_000
DAYS = 2**40
"""So many turns of a loop that nobody waits for them."""


def busy(trips: int) -> list[triton.InferInput]:
    given = triton.InferInput("trips", [1], "INT64")
    given.set_data_from_numpy(np.array([trips], np.int64))
    return [given]


@pytest.fixture
def small_engine(tmp_path: Path) -> str:
    """Target of an engine that computes one request and lets one more wait."""
    onnx_models.write_single(tmp_path / "models", "busy", 1, onnx_models.busy())
    target = f"unix:{tmp_path}/engine.sock"
    settings = ("max_concurrent_requests=1", "max_queued_requests=1")
    with running_engine(target, tmp_path / "models", *settings):
        with triton.InferenceServerClient(target) as client:
            client.load_model("busy")
        yield target


def test_every_request_is_answered_or_refused_as_unavailable(small_engine: str) -> None:
    with triton.InferenceServerClient(small_engine) as client:
        outcomes: list[str] = []
        done = threading.Semaphore(0)

        def note(result: triton.InferResult | None, error: InferenceServerException | None) -> None:
            outcomes.append("answered" if error is None else error.status())
            done.release()

        for _ in range(30):
            client.async_infer("busy", busy(TRIPS), callback=note)
        for _ in range(30):
            assert done.acquire(timeout=60)
        assert set(outcomes) == {"answered", "StatusCode.UNAVAILABLE"}
        assert outcomes.count("answered") >= 2


def test_a_request_whose_caller_has_gone_makes_room(small_engine: str) -> None:
    with triton.InferenceServerClient(small_engine) as client:
        for _ in range(3):
            with pytest.raises(InferenceServerException) as caught:
                client.infer("busy", busy(DAYS), client_timeout=0.2)
            assert caught.value.status() == f"{grpc.StatusCode.DEADLINE_EXCEEDED}"
        assert client.infer("busy", busy(1), client_timeout=60).as_numpy("y") == [1]


def test_an_engine_that_is_told_to_stop_does_so_in_the_middle_of_its_work(tmp_path: Path) -> None:
    onnx_models.write_single(tmp_path / "models", "busy", 1, onnx_models.busy())
    target = f"unix:{tmp_path}/engine.sock"
    errors: list[InferenceServerException] = []
    done = threading.Event()

    def note(result: triton.InferResult | None, error: InferenceServerException | None) -> None:
        errors.append(error)
        done.set()

    with triton.InferenceServerClient(target) as client:
        with running_engine(target, tmp_path / "models", "drain_seconds=0.1"):
            client.load_model("busy")
            client.async_infer("busy", busy(DAYS), callback=note)
            assert client.is_server_live()  # calls of one channel arrive in order
        assert done.wait(60)
    assert errors[0] is not None


def test_requests_that_run_when_their_model_is_unloaded_are_answered(small_engine: str) -> None:
    with triton.InferenceServerClient(small_engine) as client:
        answers: list[object] = []
        done = threading.Event()

        def note(result: triton.InferResult | None, error: InferenceServerException | None) -> None:
            answers.append(error or result.as_numpy("y")[0])
            done.set()

        client.async_infer("busy", busy(10 * TRIPS), callback=note)
        assert client.is_model_ready("busy")  # calls of one channel arrive in order
        client.unload_model("busy")
        assert done.wait(60)
        assert answers == [10 * TRIPS]


def test_a_run_that_never_ends_ends_the_engine_which_says_why(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    onnx_models.write_single(tmp_path / "models", "busy", 1, onnx_models.busy())
    target = f"unix:{tmp_path}/engine.sock"
    with running_engine(target, tmp_path / "models", "stall_seconds=1") as process:
        with triton.InferenceServerClient(target) as client:
            client.load_model("busy")
            with pytest.raises(InferenceServerException) as caught:
                client.infer("busy", busy(DAYS), client_timeout=60)
        assert caught.value.status() == f"{grpc.StatusCode.UNAVAILABLE}"
        assert process.wait(30) == STUCK_STATUS
    assert "a run of model 'busy' has not come to an end" in capfd.readouterr().err
