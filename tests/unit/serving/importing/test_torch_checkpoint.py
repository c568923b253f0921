"""Checkpoints are read as tensors only; what would run anything is refused."""

import io
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from shoal_core.errors import InvalidArgument
from shoal_serving.importing.torch_checkpoint import read_state_dict
from tests.unit.serving.importing import torch_unet

TYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
]


@pytest.fixture
def saved(tmp_path):
    """Saves a checkpoint with PyTorch."""

    def save(checkpoint):
        path = tmp_path / "best.ckpt"
        torch.save(checkpoint, path)
        return path

    return save


def rewrite(path, change):
    """Writes the archive again with some entries changed."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def refused(path) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        read_state_dict(path)
    assert "\n" not in caught.value.message
    assert "best.ckpt" in caught.value.message
    return caught.value


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self._call = (function, arguments)

    def __reduce__(self):
        return self._call


@pytest.mark.parametrize("model", ["bottomup", "multiclass_centered_instance"])
def test_real_checkpoints_hold_what_torch_finds_in_them(shared_data, model):
    folder = shared_data / "models_torch" / f"minimal_instance_{model}"
    expected = torch_unet.load_state_dict(folder)
    made = read_state_dict(folder / "best.ckpt")
    assert list(made) == list(expected)
    for name, tensor in expected.items():
        assert np.array_equal(made[name], tensor.numpy())


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_numbers_of_every_type(saved, dtype):
    tensor = (torch.arange(24) % 7 - 3 * dtype.is_signed).reshape(2, 3, 4).to(dtype)
    made = read_state_dict(saved({"state_dict": {"a": tensor}}))
    assert made["a"].dtype == np.float32
    assert np.array_equal(made["a"], tensor.float().numpy())


def test_views_parameters_scalars_and_empty_tensors(saved):
    whole = torch.arange(60.0).reshape(3, 4, 5)
    tensors = {
        "transposed": whole.permute(2, 0, 1),
        "part": whole[1:, ::2, 3],
        "parameter": torch.nn.Parameter(whole[0]),
        "scalar": torch.tensor(7.0),
        "empty": torch.zeros(0, 3),
    }
    made = read_state_dict(saved({"state_dict": OrderedDict(tensors)}))
    for name, tensor in tensors.items():
        assert np.array_equal(made[name], tensor.detach().numpy()), name


def test_tensors_of_the_optimizer_are_left_alone(saved):
    checkpoint = {"state_dict": {"a": torch.ones(2)}, "optimizer_states": [{"b": torch.ones(3)}]}
    assert list(read_state_dict(saved(checkpoint))) == ["a"]


@pytest.mark.parametrize(
    "call",
    [
        Call(os.system, "touch made_by_pickle"),
        Call(eval, "open('made_by_pickle', 'w')"),
        Call(exec, "open('made_by_pickle', 'w')"),
        Call(open, "made_by_pickle", "w"),
        Call(getattr, "", "join"),
        Call(__import__, "antigravity"),
    ],
    ids=["system", "eval", "exec", "open", "getattr", "import"],
)
@pytest.mark.parametrize("place", ["state_dict", "callbacks"])
def test_a_pickle_that_would_run_something(saved, monkeypatch, tmp_path, call, place):
    monkeypatch.chdir(tmp_path)
    checkpoint = {"state_dict": {"a": torch.ones(2)}, "callbacks": {}}
    checkpoint[place]["b"] = call
    error = refused(saved(checkpoint))
    assert error.reason == "MODEL_FILE_UNSAFE"
    assert call.__reduce__()[0].__name__ in error.message
    assert not (tmp_path / "made_by_pickle").exists()


def test_functions_of_torch_are_not_called(saved, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    torch.save(torch.ones(1), tmp_path / "inner.pt")
    checkpoint = {"state_dict": {"a": Call(torch.load, "inner.pt"), "b": torch.ones(1)}}
    assert list(read_state_dict(saved(checkpoint))) == ["b"]


def test_a_missing_file(tmp_path):
    assert refused(tmp_path / "best.ckpt").reason == "MODEL_FILE_MISSING"


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.999])
def test_a_truncated_checkpoint(saved, keep):
    path = saved({"state_dict": {"a": torch.ones(1000)}})
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
    assert refused(path).reason == "MODEL_FILE_DAMAGED"


@pytest.mark.parametrize("seed", range(20))
def test_damaged_pickles_are_refused_or_read_never_worse(saved, seed):
    path = saved({"state_dict": {f"layer{i}": torch.ones(i, i) for i in range(5)}})

    def spoil(entries):
        data = bytearray(entries["best/data.pkl"])
        rng = np.random.default_rng(seed)
        for place in rng.integers(0, len(data), 3):
            data[place] = rng.integers(0, 128)
        entries["best/data.pkl"] = bytes(data)

    rewrite(path, spoil)
    outcome = _outcome(path)
    assert outcome in ("read", "MODEL_FILE_DAMAGED", "MODEL_FILE_UNSAFE")


def _outcome(path) -> str:
    try:
        read_state_dict(path)
    except InvalidArgument as error:
        return error.reason
    return "read"


@pytest.mark.parametrize("checkpoint", [[], {}, {"state_dict": 3}, torch.ones(2)], ids=str)
def test_a_file_without_a_state_dict(saved, checkpoint):
    assert refused(saved(checkpoint)).reason == "MODEL_FILE_DAMAGED"


def test_a_bare_pickle_and_a_compressed_archive(saved):
    path = saved({"state_dict": {"a": torch.ones(9)}})
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    assert refused(path).reason == "MODEL_FILE_DAMAGED"
    path.write_bytes(pickle.dumps({"state_dict": {}}))
    assert refused(path).reason == "MODEL_FILE_DAMAGED"


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (5,), (1,)), (3, (2,), (1,)), (0, (2, 2), (3, 1)), (-1, (2,), (1,)), (0, (10**9,), (0,))],
)
def test_a_tensor_that_reaches_out_of_its_storage(saved, offset, shape, strides):
    path = saved({"state_dict": {"a": torch.ones(4)}})

    class Storage:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            if isinstance(item, Storage):
                return ("storage", torch.FloatStorage, "0", "cpu", 4)
            return None

    buffer = io.BytesIO()
    rebuild = torch._utils._rebuild_tensor_v2
    call = Call(rebuild, Storage(), offset, shape, strides, False, OrderedDict())
    Pickler(buffer, 2).dump({"state_dict": {"a": call}})
    rewrite(path, lambda entries: entries.update({"best/data.pkl": buffer.getvalue()}))
    assert refused(path).reason == "MODEL_FILE_DAMAGED"
