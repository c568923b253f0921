"""The Open Inference Protocol as NVIDIA's own client speaks it."""

import json
import queue
from collections.abc import Sequence

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

X = np.array([[1, 2, 3], [4, 5, 6]], np.float32)


def tensor(name: str, array: np.ndarray, datatype: str = "FP32") -> triton.InferInput:
    given = triton.InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array)
    return given


def x(array: np.ndarray = X) -> Sequence[triton.InferInput]:
    return [tensor("x", array)]


def code(caught: pytest.ExceptionInfo[InferenceServerException]) -> str:
    return str(caught.value.status())


def test_the_server_is_live_and_ready(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata()
    assert {"system_shared_memory", "model_repository"} <= set(metadata.extensions)


@pytest.mark.parametrize(
    ("name", "version", "ready"),
    [("plus", "", True), ("plus", "3", True), ("plus", "2", False), ("nothing", "", False)],
)
def test_a_model_is_ready_if_it_is_loaded(
    client: triton.InferenceServerClient, name: str, version: str, ready: bool
) -> None:
    assert client.is_model_ready(name, version) is ready


def test_metadata_names_inputs_and_outputs(client: triton.InferenceServerClient) -> None:
    metadata = client.get_model_metadata("plus")
    assert list(metadata.versions) == ["1", "3"]
    assert [(t.name, t.datatype, list(t.shape)) for t in metadata.inputs] == [
        ("x", "FP32", [-1, 3])
    ]
    assert [(t.name, t.datatype, list(t.shape)) for t in metadata.outputs] == [
        ("y", "FP32", [-1, 3])
    ]


def test_the_configuration_carries_the_pose_contract(client: triton.InferenceServerClient) -> None:
    config = client.get_model_config("brightness").config
    contract = json.loads(config.parameters["pose_contract"].string_value)
    assert contract["peak_threshold"] == 0.375
    optional = {tensor.name: tensor.optional for tensor in config.input}
    assert optional == {
        "images": False,
        "peak_threshold": True,
        "crop_peak_threshold": True,
        "max_instances": True,
        "line_samples": True,
    }


@pytest.mark.parametrize(("version", "added"), [("1", 1), ("3", 3), ("", 3)])
def test_a_request_reaches_its_version_and_the_latest_by_default(
    client: triton.InferenceServerClient, version: str, added: int
) -> None:
    result = client.infer("plus", x(), model_version=version, request_id="seven")
    np.testing.assert_array_equal(result.as_numpy("y"), X + added)
    response = result.get_response()
    assert response.model_version == (version or "3")
    assert response.id == "seven"


async def test_the_asyncio_client_works_too(engine) -> None:
    async with triton_aio.InferenceServerClient(engine.target) as client:
        result = await client.infer("plus", x())
    np.testing.assert_array_equal(result.as_numpy("y"), X + 3)


def test_typed_contents_mean_the_same_as_raw_ones(engine) -> None:
    request = service_pb2.ModelInferRequest(model_name="plus")
    request.inputs.add(name="x", datatype="FP32", shape=X.shape).contents.fp32_contents.extend(
        X.ravel()
    )
    with triton.grpc.insecure_channel(engine.target) as channel:
        response = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
    np.testing.assert_array_equal(
        np.frombuffer(response.raw_output_contents[0], np.float32).reshape(X.shape), X + 3
    )


def test_a_batch_of_no_rows_gives_no_rows(client: triton.InferenceServerClient) -> None:
    assert client.infer("plus", x(X[:0])).as_numpy("y").shape == (0, 3)


def test_only_the_wanted_outputs_come_back(client: triton.InferenceServerClient) -> None:
    images = np.full((2, 4, 4, 1), 3, np.uint8)
    wanted = [triton.InferRequestedOutput("thresholds")]
    result = client.infer("brightness", [tensor("images", images, "UINT8")], outputs=wanted)
    assert [output.name for output in result.get_response().outputs] == ["thresholds"]


@pytest.mark.parametrize("frame_count", [1, 2, 3, 5, 16])
def test_cutting_a_batch_into_parts_changes_nothing(
    client: triton.InferenceServerClient, frame_count: int
) -> None:
    images = np.random.default_rng(frame_count).integers(0, 256, (frame_count, 32, 24, 3), np.uint8)
    result = client.infer("brightness", [tensor("images", images, "UINT8")])
    sums = images.sum(axis=(1, 2, 3), dtype=np.float32)
    np.testing.assert_array_equal(result.as_numpy("instance_scores")[:, 0], sums)


def test_optional_inputs_default_to_the_contract_and_travel_with_their_frames(
    client: triton.InferenceServerClient,
) -> None:
    images = tensor("images", np.zeros((9, 4, 4, 1), np.uint8), "UINT8")
    result = client.infer("brightness", [images])
    assert (result.as_numpy("thresholds") == np.float32(0.375)).all()
    thresholds = np.linspace(0, 1, 9, dtype=np.float32)[:, None]
    result = client.infer("brightness", [images, tensor("peak_threshold", thresholds)])
    np.testing.assert_array_equal(result.as_numpy("thresholds"), thresholds)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, 0.125),
        ({"peak_threshold": 0.5}, 0.5),
        ({"crop_peak_threshold": 0.25}, 0.25),
        ({"peak_threshold": 0.5, "crop_peak_threshold": 0.25}, 0.25),
    ],
)
def test_crops_have_the_threshold_of_peaks_where_only_that_is_given(
    client: triton.InferenceServerClient, given: dict[str, float], expected: float
) -> None:
    images = tensor("images", np.zeros((3, 4, 4, 1), np.uint8), "UINT8")
    asked = [tensor(name, np.full((3, 1), value, np.float32)) for name, value in given.items()]
    result = client.infer("topdown", [images, *asked])
    assert result.as_numpy("thresholds").tolist() == [[expected]] * 3


@pytest.mark.parametrize(
    ("model", "input_name"),
    [("outdated", "line_samples"), ("outdated_topdown", "crop_peak_threshold")],
)
def test_an_input_that_an_old_model_would_ignore_is_refused(
    client: triton.InferenceServerClient, model: str, input_name: str
) -> None:
    images = tensor("images", np.zeros((1, 4, 4, 1), np.uint8), "UINT8")
    asked = tensor(input_name, np.zeros((1, 1), np.float32))
    client.infer("brightness", [images, asked])  # of a kind that has neither lines nor crops
    client.infer(model, [images])
    with pytest.raises(InferenceServerException, match=f"'{input_name}'; delete it") as caught:
        client.infer(model, [images, asked])
    assert code(caught) == "StatusCode.FAILED_PRECONDITION"


def shaped(shape: list[int], byte_count: int, datatype: str = "FP32") -> triton.InferInput:
    given = triton.InferInput("x", shape, datatype)
    given._raw_content = bytes(byte_count)
    return given


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([shaped([1, 4], 16)], r"'x' has shape \[1, 4\]; the model takes \[-1, 3\]"),
        ([shaped([3], 12)], r"'x' has shape \[3\]"),
        ([shaped([-1, 3], 12)], r"'x' has shape \[-1, 3\]"),
        ([shaped([1, 3], 24, "FP64")], "'x' is FP64; the model takes FP32"),
        ([shaped([1, 3], 12, "WHAT")], "'x' is WHAT"),
        ([shaped([1, 3], 11)], "needs 12 bytes, got 11"),
        ([], "'x' is missing"),
        ([tensor("z", X)], "'z' is unknown"),
        ([tensor("x", X), tensor("x", X)], "'x' is unknown or given twice"),
    ],
)
def test_a_wrong_input_is_named_in_one_line(
    client: triton.InferenceServerClient, inputs: list[triton.InferInput], message: str
) -> None:
    with pytest.raises(InferenceServerException, match=message) as caught:
        client.infer("plus", inputs)
    assert code(caught) == "StatusCode.INVALID_ARGUMENT"
    assert "\n" not in caught.value.message()


@pytest.mark.parametrize(
    ("shape", "message"),
    [((0, 4, 4, 1), "at least one frame"), ((1, 0, 4, 1), "frame"), ((1, 4, 4, 2), "1 or 3")],
)
def test_frames_are_gray_or_rgb(
    client: triton.InferenceServerClient, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(InferenceServerException, match=message) as caught:
        client.infer("brightness", [tensor("images", np.zeros(shape, np.uint8), "UINT8")])
    assert code(caught) == "StatusCode.INVALID_ARGUMENT"


def test_optional_inputs_have_one_row_for_each_frame(client: triton.InferenceServerClient) -> None:
    images = tensor("images", np.zeros((2, 4, 4, 1), np.uint8), "UINT8")
    with pytest.raises(InferenceServerException, match="'peak_threshold' has shape") as caught:
        client.infer("brightness", [images, tensor("peak_threshold", np.ones((3, 1), np.float32))])
    assert code(caught) == "StatusCode.INVALID_ARGUMENT"


def test_an_unknown_output_is_named(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="'w' is unknown") as caught:
        client.infer("plus", x(), outputs=[triton.InferRequestedOutput("w")])
    assert code(caught) == "StatusCode.INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("name", "version"), [("nothing", ""), ("plus", "2"), ("plus", "latest"), ("nothing", "1")]
)
def test_an_unknown_model_is_not_found(
    client: triton.InferenceServerClient, name: str, version: str
) -> None:
    for call in (
        lambda: client.infer(name, x(), model_version=version),
        lambda: client.get_model_metadata(name, version),
        lambda: client.get_model_config(name, version),
        lambda: client.get_inference_statistics(name, version),
    ):
        with pytest.raises(InferenceServerException, match=f"'{version or name}'") as caught:
            call()
        assert code(caught) == "StatusCode.NOT_FOUND"


def test_a_stream_answers_every_request_in_order_and_survives_bad_ones(
    client: triton.InferenceServerClient,
) -> None:
    answers: queue.Queue = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    for index in range(40):
        array = np.full((1, 3), index, np.float32)
        name = "x" if index % 5 else "z"
        client.async_stream_infer("plus", [tensor(name, array)], request_id=str(index))
    client.stop_stream()
    for index in range(40):
        result, error = answers.get(timeout=30)
        if index % 5:
            assert result.get_response().id == str(index)
            assert (result.as_numpy("y") == index + 3).all()
        else:
            assert "'z' is unknown" in error.message()
    assert answers.empty()


def test_a_stream_marks_final_responses_if_asked(client: triton.InferenceServerClient) -> None:
    answers: queue.Queue = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    client.async_stream_infer("plus", x(), enable_empty_final_response=True)
    client.stop_stream()
    result, error = answers.get(timeout=30)
    assert error is None
    assert result.get_response().parameters["triton_final_response"].bool_param


def test_statistics_count_requests_and_frames(client: triton.InferenceServerClient) -> None:
    def counts() -> tuple[int, int, int]:
        stats = client.get_inference_statistics("brightness", "1").model_stats[0]
        return (
            stats.inference_count,
            stats.inference_stats.success.count,
            stats.inference_stats.fail.count,
        )

    frames, successes, failures = counts()
    client.infer("brightness", [tensor("images", np.zeros((5, 4, 4, 1), np.uint8), "UINT8")])
    with pytest.raises(InferenceServerException):
        client.infer("brightness", x())
    assert counts() == (frames + 5, successes + 1, failures + 1)


def test_calls_that_need_a_gpu_say_that_they_are_not_offered(
    client: triton.InferenceServerClient,
) -> None:
    assert not client.get_cuda_shared_memory_status().regions
    client.unregister_cuda_shared_memory()
    with pytest.raises(InferenceServerException) as caught:
        client.register_cuda_shared_memory("region", b"", 0, 1)
    assert code(caught) == "StatusCode.UNIMPLEMENTED"
