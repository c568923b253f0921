import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from shoal_common.inference.chain import Chain, ChainStep
from shoal_core.errors import FailedPrecondition
from shoal_serving.quantization import quantize
from tests.fakes import onnx_models
from tests.fakes.onnx_models import FLOAT, UINT8

CHANNELS = 8


def network() -> bytes:
    """Two convolutions with ReLU and a 1 × 1 convolution as head; none has a name."""
    random = np.random.default_rng(0)
    weights = {
        "first": random.standard_normal((CHANNELS, 1, 3, 3)).astype(np.float32) / 3,
        "second": random.standard_normal((CHANNELS, CHANNELS, 3, 3)).astype(np.float32) / 8,
        "head": random.standard_normal((2, CHANNELS, 1, 1)).astype(np.float32) / 3,
    }
    return onnx_models.graph(
        [
            helper.make_node("Conv", ["x", "first"], ["a"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Conv", ["b", "second"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["d"]),
            helper.make_node("Conv", ["d", "head"], ["maps"]),
        ],
        {"x": (FLOAT, ["M", 1, "H", "W"])},
        {"maps": (FLOAT, ["M", 2, "H", "W"])},
        weights,
    )


def write_version(folder: Path) -> None:
    """A version that crops nothing: frames that are dark altogether do not reach the network."""
    folder.mkdir()
    (folder / "net.onnx").write_bytes(network())
    (folder / "bright.onnx").write_bytes(
        onnx_models.graph(
            [
                helper.make_node("Cast", ["images"], ["pixels"], to=FLOAT),
                helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
                helper.make_node("ReduceMax", ["planes", "axes"], ["peaks"], keepdims=0),
                helper.make_node("Greater", ["peaks", "zero"], ["is_bright"]),
                helper.make_node("Compress", ["planes", "is_bright"], ["kept"], axis=0),
                helper.make_node("Div", ["kept", "most"], ["x"]),
            ],
            {"images": (UINT8, ["B", "H", "W", 1])},
            {"x": (FLOAT, ["M", 1, "H", "W"])},
            {
                "axes": np.array([1, 2, 3], np.int64),
                "zero": np.float32(0),
                "most": np.float32(255),
            },
        )
    )
    chain = Chain(
        inputs=("images",),
        outputs=("maps",),
        steps=(
            ChainStep("bright", "bright.onnx", "glue", {"images": "images"}, {"x": "crops"}),
            ChainStep("net", "net.onnx", "body", {"x": "crops"}, {"maps": "maps"}),
        ),
    )
    (folder / "chain.json").write_text(chain.to_json())
    (folder / "contract.json").write_text(onnx_models.contract().to_json())


def save_frames(path: Path, frames: np.ndarray) -> Path:
    np.save(path, frames)
    return path


def bright_frames(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(1, 256, (count, 24, 32, 1)).astype(np.uint8)


@pytest.fixture
def version(tmp_path: Path) -> Path:
    write_version(tmp_path / "1")
    return tmp_path / "1"


def maps(model: Path, x: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["maps"], {"x": x})[0])


def test_the_int8_network_computes_nearly_the_same(version: Path, tmp_path: Path) -> None:
    frames = save_frames(tmp_path / "frames.npy", bright_frames(8))
    quantize(version, frames, tmp_path / "networks")
    (made,) = (tmp_path / "networks").iterdir()
    assert made.name == "net.int8.onnx"
    x = np.random.default_rng(2).random((3, 1, 24, 32), np.float32)
    exact, rough = maps(version / "net.onnx", x), maps(made, x)
    error = np.abs(rough - exact).max()
    assert 0 < error < 0.03 * np.ptp(exact)


def test_all_but_the_last_weights_are_int8(version: Path, tmp_path: Path) -> None:
    frames = save_frames(tmp_path / "frames.npy", bright_frames(4))
    quantize(version, frames, tmp_path / "networks")
    graph = onnx.load(tmp_path / "networks" / "net.int8.onnx").graph
    makers = {output: node for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    kinds = [makers[node.input[1]].op_type if node.input[1] in makers else "weights"
             for node in convolutions]  # fmt: skip
    assert kinds == ["DequantizeLinear", "DequantizeLinear", "weights"]


def test_frames_that_reach_no_network_are_an_error(version: Path, tmp_path: Path) -> None:
    frames = save_frames(tmp_path / "frames.npy", np.zeros((3, 24, 32, 1), np.uint8))
    with pytest.raises(FailedPrecondition, match="No animal is found in the 3 frames"):
        quantize(version, frames, tmp_path / "networks")


def test_nncf_reports_its_use_to_nobody(version: Path, tmp_path: Path) -> None:
    frames = save_frames(tmp_path / "frames.npy", bright_frames(2))
    program = f"""
import sys
from pathlib import Path
from shoal_serving.quantization import quantize
quantize(Path({str(version)!r}), Path({str(frames)!r}), Path({str(tmp_path / "networks")!r}))
assert "nncf" in sys.modules
print([name for name, module in sys.modules.items() if "openvino_telemetry" in name and module])
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines()[-1] == "[]"
