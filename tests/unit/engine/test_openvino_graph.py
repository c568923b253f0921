import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from shoal_common.inference.tuning import ANY_PROCESSOR, TUNING_FILE, Backend, Tuning
from shoal_core.errors import Cancelled, FailedPrecondition, InvalidArgument
from shoal_engine.backends import load_body
from shoal_engine.graph import Graph, Stopper, Threads
from shoal_engine.models import Model
from tests.fakes import onnx_models
from tests.fakes.onnx_models import FLOAT

THREADS = Threads(stream_count=2, wide_count=2)
SECONDS = 60.0  # only a bug lets anything wait so long


def two_headed() -> bytes:
    """A 3 × 3 convolution [B, 1, H, W] → `maps` [B, 2, H, W], and `means` [B, 1] beside it."""
    weights = np.random.default_rng(0).standard_normal((2, 1, 3, 3)).astype(np.float32)
    return onnx_models.graph(
        [
            helper.make_node("Conv", ["x", "w"], ["values"], pads=[1, 1, 1, 1]),
            helper.make_node("Identity", ["values"], ["maps"]),
            helper.make_node("ReduceMean", ["x", "axes"], ["means"], keepdims=0),
        ],
        {"x": (FLOAT, ["B", 1, "H", "W"])},
        {"maps": (FLOAT, ["B", 2, "H", "W"]), "means": (FLOAT, ["B", 1])},
        {"w": weights, "axes": np.array([2, 3], np.int64)},
    )


def deep(width: int = 64, depth: int = 60) -> bytes:
    """A network that is busy for seconds with an image of a megapixel."""
    weights = np.full((width, width, 3, 3), 1e-3, np.float32)
    first = np.full((width, 1, 3, 3), 1e-3, np.float32)
    names = ["x", *(f"h{index}" for index in range(depth)), "y"]
    nodes = [
        helper.make_node("Conv", [a, "first" if a == "x" else "w"], [b], pads=[1, 1, 1, 1])
        for a, b in pairwise(names)
    ]
    return onnx_models.graph(
        nodes,
        {"x": (FLOAT, ["B", 1, "H", "W"])},
        {"y": (FLOAT, ["B", width, "H", "W"])},
        {"first": first, "w": weights},
    )


def loaded(tmp_path: Path, content: bytes, backend: Backend = "openvino-fp32") -> Graph:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    return load_body(path, backend, THREADS)


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).random(shape, np.float32)


@pytest.mark.parametrize("wide", [False, True])
def test_it_computes_what_onnx_runtime_computes(tmp_path: Path, wide: bool) -> None:
    graph = loaded(tmp_path, two_headed())
    reference = loaded(tmp_path, two_headed(), "onnxruntime-fp32")
    names = ["means", "maps"]
    for shape in [(3, 1, 16, 24), (1, 1, 8, 8), (0, 1, 16, 24)]:
        inputs = {"x": images(*shape)}
        made = graph.run(inputs, names, wide=wide, stopper=Stopper())
        expected = reference.run(inputs, names, wide=wide, stopper=Stopper())
        for array, same in zip(made, expected, strict=True):
            assert array.shape == same.shape
            np.testing.assert_allclose(array, same, atol=1e-5)


def test_results_outlive_the_next_run(tmp_path: Path) -> None:
    graph = loaded(tmp_path, two_headed())
    first, second = images(1, 1, 8, 8), -images(1, 1, 8, 8)
    (kept,) = graph.run({"x": first}, ["maps"], wide=False, stopper=Stopper())
    before = kept.copy()
    (after,) = graph.run({"x": second}, ["maps"], wide=False, stopper=Stopper())
    np.testing.assert_array_equal(kept, before)
    np.testing.assert_allclose(after, -before, atol=1e-6)


def test_a_batch_gives_each_image_what_it_gets_alone_bit_for_bit(tmp_path: Path) -> None:
    graph = loaded(tmp_path, two_headed())
    batch = images(5, 1, 16, 16)
    (together,) = graph.run({"x": batch}, ["maps"], wide=False, stopper=Stopper())
    for index in range(5):
        (alone,) = graph.run(
            {"x": batch[index : index + 1]}, ["maps"], wide=False, stopper=Stopper()
        )
        np.testing.assert_array_equal(together[index], alone[0])


def test_threads_do_not_disturb_one_another_with_more_sizes_than_are_kept(tmp_path: Path) -> None:
    graph = loaded(tmp_path, two_headed())
    inputs = [images(2, 1, 8 + 8 * (index % 6), 16) for index in range(24)]

    def maps(x: np.ndarray) -> np.ndarray:
        return graph.run({"x": x}, ["maps"], wide=False, stopper=Stopper())[0]

    expected = [maps(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for array, same in zip(pool.map(maps, inputs), expected, strict=True):
            np.testing.assert_array_equal(array, same)


def test_bf16_is_near_fp32_but_not_it(tmp_path: Path) -> None:
    inputs = {"x": images(1, 1, 32, 32)}
    exact, rough = (
        loaded(tmp_path, two_headed(), backend).run(
            inputs, ["maps"], wide=False, stopper=Stopper()
        )[0]
        for backend in ("openvino-fp32", "openvino-bf16")
    )
    np.testing.assert_allclose(rough, exact, atol=0.05)


def test_a_stopped_run_ends_and_the_graph_goes_on(tmp_path: Path) -> None:
    graph = loaded(tmp_path, deep())
    graph.run({"x": images(1, 1, 16, 16)}, ["y"], wide=False, stopper=Stopper())
    stopper = Stopper()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            graph.run({"x": images(50, 1, 512, 512)}, ["y"], wide=False, stopper=stopper)
        except Cancelled as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    stopper.stop()
    thread.join(SECONDS)
    assert not thread.is_alive()
    assert [error.reason for error in failures] == ["REQUEST_STOPPED"]  # type: ignore[attr-defined]
    graph.run({"x": images(1, 1, 16, 16)}, ["y"], wide=False, stopper=Stopper())


def test_a_stopper_ends_what_runs_now_and_nothing_that_has_ended() -> None:
    ended: list[str] = []
    stopper = Stopper()
    with stopper.ending(lambda: ended.append("before")):
        pass
    with stopper.ending(lambda: ended.append("now")):
        stopper.stop()
    with pytest.raises(Cancelled), stopper.ending(lambda: ended.append("after")):
        raise AssertionError
    assert ended == ["now"]


def test_what_a_stopped_run_raises_is_a_cancellation() -> None:
    def run(stopper: Stopper) -> None:
        with stopper.ending(list):
            stopper.stop()
            raise InvalidArgument("INPUT_REJECTED", "The model cannot work on these inputs.")

    with pytest.raises(Cancelled):
        run(Stopper())


def test_inputs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    graph = loaded(tmp_path, two_headed())
    with pytest.raises(InvalidArgument, match="cannot work on these inputs"):
        graph.run({"x": images(1, 3, 8, 8)}, ["maps"], wide=False, stopper=Stopper())


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match=r"OpenVINO cannot load net\.onnx"):
        loaded(tmp_path, b"no network")


def test_an_element_type_that_is_not_served_is_named(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="'x' of type boolean"):
        loaded(tmp_path, onnx_models.identity(int(onnx.TensorProto.BOOL)))


def test_int8_without_its_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match=r"no net\.int8\.onnx; tune it again"):
        loaded(tmp_path, two_headed(), "openvino-int8")


@pytest.mark.parametrize(
    ("measured_on", "is_used"), [("this", True), (ANY_PROCESSOR, True), ("another", False)]
)
def test_a_tuning_counts_on_the_processor_that_it_was_measured_on(
    tmp_path: Path, measured_on: str, is_used: bool
) -> None:
    onnx_models.write_brightness(tmp_path, "brightness", 1)
    folder = tmp_path / "brightness" / "1"
    tuning = Tuning(measured_on, {"net": "openvino-fp32"})
    (folder / TUNING_FILE).write_text(tuning.to_json())
    model = Model.load(folder, "brightness", 1, threads=THREADS, processor="this")
    assert model.is_exact is not is_used
    frames = np.full((1, 4, 4, 1), 3, np.uint8)
    outputs = model.run({"images": frames}, ["instance_scores"], wide=False, stopper=Stopper())
    assert outputs["instance_scores"] == 48


def test_a_damaged_tuning_is_an_error_that_names_the_cure(tmp_path: Path) -> None:
    onnx_models.write_brightness(tmp_path, "brightness", 1)
    folder = tmp_path / "brightness" / "1"
    (folder / TUNING_FILE).write_text('{"processor": "", "backends": {"net": "x"}, "trials": []}')
    with pytest.raises(InvalidArgument, match=r"unknown backend x.*tune the model again"):
        Model.load(folder, "brightness", 1, threads=THREADS, processor="")


def test_openvino_reports_its_use_to_nobody(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(two_headed())
    program = f"""
import sys
from pathlib import Path
from shoal_engine.backends import load_body
from shoal_engine.graph import Threads
load_body(Path({str(path)!r}), "openvino-fp32", Threads(1, 1))
assert "openvino" in sys.modules
print([name for name, module in sys.modules.items() if "openvino_telemetry" in name and module])
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "[]\n"
