"""Loading and unloading while the engine runs."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.fakes import onnx_models

X = np.ones((1, 3), np.float32)


@pytest.fixture
def model(engine, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Folder of a model with versions 1 and 2 that nobody has loaded yet."""
    name = request.node.name.translate(str.maketrans("[]", "__"))[:60]
    for version in (1, 2):
        onnx_models.write_single(engine.repository, name, version, onnx_models.plus(version))
    yield engine.repository / name
    shutil.rmtree(engine.repository / name)


def plus(client: triton.InferenceServerClient, model: Path, version: str = "") -> float:
    given = triton.InferInput("x", [1, 3], "FP32")
    given.set_data_from_numpy(X)
    result = client.infer(model.name, [given], model_version=version)
    return float(result.as_numpy("y")[0, 0] - 1)


def states(client: triton.InferenceServerClient, model: Path) -> dict[str, str]:
    index = client.get_model_repository_index().models
    return {entry.version: entry.state for entry in index if entry.name == model.name}


def test_a_model_is_unavailable_until_it_is_loaded(
    client: triton.InferenceServerClient, model: Path
) -> None:
    assert states(client, model) == {"1": "UNAVAILABLE", "2": "UNAVAILABLE"}
    with pytest.raises(InferenceServerException, match="is not loaded; load it first") as caught:
        plus(client, model)
    assert caught.value.status() == "StatusCode.UNAVAILABLE"
    client.load_model(model.name)
    assert states(client, model) == {"1": "READY", "2": "READY"}
    assert plus(client, model) == 2
    client.unload_model(model.name)
    assert states(client, model) == {"1": "UNAVAILABLE", "2": "UNAVAILABLE"}
    assert not client.is_model_ready(model.name)


def test_a_version_that_is_added_becomes_the_latest_when_loaded(
    client: triton.InferenceServerClient, engine, model: Path
) -> None:
    client.load_model(model.name)
    onnx_models.write_single(engine.repository, model.name, 11, onnx_models.plus(11))
    assert plus(client, model) == 2
    client.load_model(model.name)
    assert plus(client, model) == 11
    assert plus(client, model, "1") == 1


def test_a_version_that_is_deleted_is_gone_after_the_next_load(
    client: triton.InferenceServerClient, model: Path
) -> None:
    client.load_model(model.name)
    shutil.rmtree(model / "2")
    client.load_model(model.name)
    assert plus(client, model) == 1
    assert not client.is_model_ready(model.name, "2")


def test_a_version_whose_files_were_replaced_is_loaded_anew(
    client: triton.InferenceServerClient, model: Path
) -> None:
    client.load_model(model.name)
    (model / "2" / "model.onnx").write_bytes(onnx_models.plus(20))
    client.load_model(model.name)
    assert plus(client, model) == 20


def test_a_load_that_fails_leaves_everything_as_it_was(
    client: triton.InferenceServerClient, model: Path
) -> None:
    client.load_model(model.name)
    (model / "3").mkdir()
    (model / "3" / "model.onnx").write_bytes(b"not a network")
    with pytest.raises(InferenceServerException, match=r"cannot load model\.onnx") as caught:
        client.load_model(model.name)
    assert caught.value.status() == "StatusCode.FAILED_PRECONDITION"
    assert plus(client, model) == 2
    index = client.get_model_repository_index().models
    reason = next(e.reason for e in index if (e.name, e.version) == (model.name, "3"))
    assert "cannot load model.onnx" in reason


@pytest.mark.parametrize("missing", ["chain.json", "contract.json", "double.onnx"])
def test_a_chain_without_one_of_its_files_is_not_loaded(
    client: triton.InferenceServerClient, engine, model: Path, missing: str
) -> None:
    onnx_models.write_brightness(engine.repository, model.name, 5)
    (model / "5" / missing).unlink()
    with pytest.raises(InferenceServerException, match=r"has no \S+; import it again") as caught:
        client.load_model(model.name)
    assert caught.value.status() == "StatusCode.FAILED_PRECONDITION"


def test_a_chain_that_names_what_its_graph_lacks_is_not_loaded(
    client: triton.InferenceServerClient, engine, model: Path
) -> None:
    onnx_models.write_brightness(engine.repository, model.name, 5)
    chain = model / "5" / "chain.json"
    chain.write_text(chain.read_text().replace('"doubled"', '"tripled"'))
    with pytest.raises(InferenceServerException, match=r"sum\.onnx has no 'tripled'"):
        client.load_model(model.name)


def test_a_model_of_strings_is_not_loaded(
    client: triton.InferenceServerClient, engine, model: Path
) -> None:
    words = onnx_models.identity(onnx.TensorProto.STRING)
    onnx_models.write_single(engine.repository, model.name, 5, words)
    with pytest.raises(InferenceServerException, match=r"tensor\(string\)"):
        client.load_model(model.name)


@pytest.mark.parametrize("name", ["nothing", "..", "a/b", ""])
def test_what_is_not_in_the_repository_is_neither_loaded_nor_unloaded(
    client: triton.InferenceServerClient, name: str
) -> None:
    for call in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException) as caught:
            call(name)
        assert caught.value.status() in ("StatusCode.NOT_FOUND", "StatusCode.INVALID_ARGUMENT")


def test_the_index_can_leave_out_what_is_not_loaded(
    client: triton.InferenceServerClient, engine, model: Path
) -> None:
    stub = client._client_stub
    request = triton.service_pb2.RepositoryIndexRequest(ready=True)
    names = {entry.name for entry in stub.RepositoryIndex(request).models}
    assert model.name not in names
    assert "plus" in names


@pytest.mark.parametrize(
    ("onnx_type", "datatype", "values"),
    [
        (onnx.TensorProto.BOOL, "BOOL", np.array([True, False])),
        (onnx.TensorProto.UINT8, "UINT8", np.array([0, 255], np.uint8)),
        (onnx.TensorProto.INT8, "INT8", np.array([-128, 127], np.int8)),
        (onnx.TensorProto.UINT16, "UINT16", np.array([0, 65535], np.uint16)),
        (onnx.TensorProto.INT16, "INT16", np.array([-32768, 32767], np.int16)),
        (onnx.TensorProto.UINT32, "UINT32", np.array([0, 2**32 - 1], np.uint32)),
        (onnx.TensorProto.INT32, "INT32", np.array([-(2**31), 2**31 - 1], np.int32)),
        (onnx.TensorProto.UINT64, "UINT64", np.array([0, 2**64 - 1], np.uint64)),
        (onnx.TensorProto.INT64, "INT64", np.array([-(2**63), 2**63 - 1], np.int64)),
        (onnx.TensorProto.FLOAT16, "FP16", np.array([1.5, np.nan], np.float16)),
        (onnx.TensorProto.FLOAT, "FP32", np.array([1.5, np.nan], np.float32)),
        (onnx.TensorProto.DOUBLE, "FP64", np.array([1.5, np.nan], np.float64)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_element_type_survives_the_way_there_and_back(
    client: triton.InferenceServerClient,
    engine,
    model: Path,
    onnx_type: int,
    datatype: str,
    values: np.ndarray,
) -> None:
    onnx_models.write_single(engine.repository, model.name, 5, onnx_models.identity(onnx_type))
    client.load_model(model.name)
    given = triton.InferInput("x", [2], datatype)
    given.set_data_from_numpy(values)
    np.testing.assert_array_equal(client.infer(model.name, [given]).as_numpy("y"), values)
