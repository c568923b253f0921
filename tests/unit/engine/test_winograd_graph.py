import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from shoal_core.errors import Cancelled, FailedPrecondition, InvalidArgument
from shoal_engine import winograd_graph
from shoal_engine.graph import Stopper, Threads
from shoal_engine.onnx_graph import OnnxGraph
from shoal_engine.winograd import arena, library
from shoal_engine.winograd.library import Kernels
from shoal_engine.winograd_graph import WinogradGraph
from tests.fakes import onnx_models
from tests.fakes.onnx_models import FLOAT

THREADS = Threads(stream_count=2, wide_count=3)
SECONDS = 60.0  # only a bug lets anything wait so long
BUILDS = library.runnable_builds()


@pytest.fixture(autouse=True)
def poisoned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody has written is NaN, and so is what follows from it."""
    empty = arena.floats

    def poisoned(count: int) -> np.ndarray:
        floats = empty(count)
        floats.fill(np.nan)
        return floats

    monkeypatch.setattr(arena, "floats", poisoned)


@pytest.fixture(params=BUILDS, ids=lambda path: path.name)
def build(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets graphs use one of the builds that this processor runs."""
    chosen = Kernels(request.param)
    monkeypatch.setattr(winograd_graph, "kernels", lambda: chosen)


class Net:
    """An ONNX file of one input `x` [B, channels, H, W], added to node by node."""

    def __init__(self, channels: int = 1) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.input_channels = channels
        self.random = np.random.default_rng(3)

    def add(self, kind: str, inputs: list[str], *, relu: bool = False, **attributes: object) -> str:
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return self.add("Relu", [name]) if relu else name

    def weights(self, *shape: int) -> str:
        name = f"w{len(self.constants)}"
        scale = np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 1
        self.constants[name] = (self.random.standard_normal(shape) * scale).astype(np.float32)
        return name

    def conv(self, x: str, inputs: int, outputs: int, size: int = 3, *, relu: bool = True) -> str:
        weights = [self.weights(outputs, inputs, size, size), self.weights(outputs)]
        return self.add("Conv", [x, *weights], relu=relu, pads=[size // 2] * 4)

    def bytes(self, outputs: Mapping[str, int]) -> bytes:
        """The file whose outputs are these values of so many channels."""
        return onnx_models.graph(
            self.nodes,
            {"x": (FLOAT, ["B", self.input_channels, "H", "W"])},
            {name: (FLOAT, ["B", count, "h", "w"]) for name, count in outputs.items()},
            self.constants,
        )


def pooled(net: Net, x: str) -> str:
    return net.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])


def u_net(first: int = 7, channels: int = 1) -> bytes:
    """Two levels with skip connections, and two heads of different sizes."""
    net = Net(channels)
    top = net.conv(net.conv("x", channels, first), first, first)
    pool = pooled(net, top)
    middle = net.conv(pool, first, 2 * first + 1)
    pool = pooled(net, middle)
    deep = net.conv(pool, 2 * first + 1, 30)
    weights = [net.weights(30, 9, 3, 3), net.weights(9)]
    up = net.add(
        "ConvTranspose", [deep, *weights], relu=True,
        strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1],
    )  # fmt: skip
    joined = net.conv(net.add("Concat", [middle, up], axis=1), 2 * first + 10, 11)
    coarse = net.conv(joined, 11, 4, 1, relu=False)
    net.constants["factors"] = np.array([1, 1, 2, 2], np.float32)
    up = net.add("Resize", [joined, "", "factors"], mode="linear")
    joined = net.conv(net.add("Concat", [top, up], axis=1), first + 11, 5)
    fine = net.add("Identity", [net.conv(joined, 5, 3, 1, relu=False)])
    return net.bytes({fine: 3, coarse: 4})


def one(add: Callable[[Net], str], outputs: int, channels: int = 6) -> bytes:
    """One node."""
    net = Net(channels)
    return net.bytes({add(net): outputs})


def transposed(size: int, pads: list[int], more: int) -> Callable[[Net], str]:
    return lambda net: net.add(
        "ConvTranspose", ["x", net.weights(6, 5, size, size)],
        strides=[2, 2], pads=pads, output_padding=[more, more],
    )  # fmt: skip


def loaded(tmp_path: Path, content: bytes) -> WinogradGraph:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    return WinogradGraph(path, threads=THREADS)


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def check(tmp_path: Path, content: bytes, shape: tuple[int, ...], *, wide: bool = False) -> None:
    """Compares all outputs with ONNX Runtime's."""
    graph = loaded(tmp_path, content)
    reference = OnnxGraph(tmp_path / "net.onnx", wide_thread_count=1)
    names = [spec.name for spec in reference.outputs][::-1]
    assert graph.inputs == reference.inputs
    assert graph.outputs == reference.outputs
    inputs = {"x": images(*shape)}
    made = graph.run(inputs, names, wide=wide, stopper=Stopper())
    expected = reference.run(inputs, names, wide=False, stopper=Stopper())
    for array, same in zip(made, expected, strict=True):
        assert array.shape == same.shape
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, same, atol=2e-5 * max(1.0, float(np.abs(same).max())))


@pytest.mark.usefixtures("build")
@pytest.mark.parametrize(
    "shape", [(1, 1, 64, 64), (2, 1, 96, 96), (11, 1, 12, 20), (1, 1, 4, 4), (3, 1, 100, 600)]
)
def test_a_u_net_gives_what_onnx_runtime_gives(tmp_path: Path, shape: tuple[int, ...]) -> None:
    check(tmp_path, u_net(), shape)


@pytest.mark.usefixtures("build")
@pytest.mark.parametrize(
    ("add", "outputs"),
    [
        (lambda net: net.conv("x", 6, 50), 50),
        (lambda net: net.conv("x", 6, 4, 3, relu=False), 4),
        (lambda net: net.conv("x", 6, 4, 1), 4),
        (lambda net: pooled(net, net.conv("x", 6, 7)), 7),
        (lambda net: net.conv(net.conv("x", 6, 90), 90, 90), 90),
        (lambda net: net.conv("x", 6, 25, 5), 25),
        (lambda net: net.conv("x", 6, 9, 7), 9),
        (transposed(2, [0, 0, 0, 0], 0), 5),
        (transposed(3, [0, 0, 1, 1], 0), 5),
        (transposed(3, [1, 1, 1, 1], 1), 5),
        (transposed(4, [1, 1, 1, 1], 0), 5),
        (lambda net: pooled(net, "x"), 6),
        (lambda net: net.add("Sigmoid", [net.conv("x", 6, 3, relu=False)]), 3),
        (lambda net: net.add("Identity", [net.add("Sigmoid", [pooled(net, "x")])]), 6),
        (
            lambda net: net.add(
                "MaxPool", ["x"], kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER"
            ),
            6,
        ),
    ],
)
@pytest.mark.parametrize("shape", [(1, 6, 8, 8), (5, 6, 6, 10), (2, 6, 2, 130)])
def test_each_layer_gives_what_onnx_runtime_gives(
    tmp_path: Path, add: Callable[[Net], str], outputs: int, shape: tuple[int, ...]
) -> None:
    check(tmp_path, one(add, outputs), shape)


@pytest.mark.usefixtures("build")
def test_colour_images_and_wide_runs(tmp_path: Path) -> None:
    check(tmp_path, u_net(channels=3), (2, 3, 48, 64), wide=True)


def test_threads_and_neighbours_change_no_bit(tmp_path: Path) -> None:
    graph = loaded(tmp_path, u_net())
    names = [spec.name for spec in graph.outputs]
    batch = images(7, 1, 24, 36)
    narrow = graph.run({"x": batch}, names, wide=False, stopper=Stopper())
    wide = graph.run({"x": batch}, names, wide=True, stopper=Stopper())
    for array, same in zip(wide, narrow, strict=True):
        np.testing.assert_array_equal(array, same)
    for index in range(7):
        alone = graph.run({"x": batch[index : index + 1]}, names, wide=False, stopper=Stopper())
        for array, same in zip(alone, narrow, strict=True):
            np.testing.assert_array_equal(array[0], same[index])


def test_an_empty_batch_gives_empty_outputs(tmp_path: Path) -> None:
    graph = loaded(tmp_path, u_net())
    names = [spec.name for spec in graph.outputs]
    made = graph.run({"x": images(0, 1, 24, 36)}, names, wide=False, stopper=Stopper())
    assert [array.shape for array in made] == [(0, 3, 24, 36), (0, 4, 12, 18)]


def test_runs_at_once_do_not_disturb_one_another(tmp_path: Path) -> None:
    graph = loaded(tmp_path, u_net())
    names = [spec.name for spec in graph.outputs]
    inputs = [images(1 + index % 3, 1, 8 + 4 * (index % 9), 16) for index in range(60)]

    def run(index: int) -> list[np.ndarray]:
        x = {"x": inputs[index]}
        return graph.run(x, names, wide=index % 2 == 0, stopper=Stopper())

    expected = [run(index) for index in range(60)]
    with ThreadPoolExecutor(6) as pool:
        for made, same in zip(pool.map(run, range(60)), expected, strict=True):
            for left, right in zip(made, same, strict=True):
                np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("wide", [False, True])
def test_a_stopped_run_ends_and_the_graph_goes_on(tmp_path: Path, wide: bool) -> None:
    net = Net()
    names = ["x", *(f"h{index}" for index in range(40))]
    for before, after in pairwise(names):
        weights = net.weights(48, 1 if before == "x" else 48, 3, 3)
        net.nodes.append(helper.make_node("Conv", [before, weights], [after], pads=[1] * 4))
    graph = loaded(tmp_path, net.bytes({names[-1]: 48}))
    stopper = Stopper()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            x = {"x": images(50, 1, 1024, 1024)}
            graph.run(x, [names[-1]], wide=wide, stopper=stopper)
        except Cancelled as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    stopper.stop()
    thread.join(SECONDS)
    assert not thread.is_alive()
    assert [error.reason for error in failures] == ["REQUEST_STOPPED"]  # type: ignore[attr-defined]
    graph.run({"x": images(1, 1, 16, 16)}, [names[-1]], wide=wide, stopper=Stopper())


@pytest.mark.parametrize(
    ("shape", "problem"),
    [((1, 3, 8, 8), "images of 1 channels are needed"), ((1, 1, 8, 6), "halve images of 8 x 6 px")],
)
def test_images_that_do_not_fit_are_refused(
    tmp_path: Path, shape: tuple[int, ...], problem: str
) -> None:
    graph = loaded(tmp_path, u_net())
    names = [spec.name for spec in graph.outputs]
    with pytest.raises(InvalidArgument, match=problem):
        graph.run({"x": images(*shape)}, names, wide=False, stopper=Stopper())


@pytest.mark.parametrize(
    ("add", "problem"),
    [
        (lambda net: net.add("Softplus", ["x"]), "a Softplus here"),
        (
            lambda net: net.conv(net.add("Sigmoid", ["x"]), 6, 6),
            "a Conv of 'Sigmoid0', which no layer gives",
        ),
        (lambda net: net.add("Relu", ["x"]), "a Relu here"),
        (
            lambda net: net.add(
                "Conv", ["x", net.weights(6, 6, 3, 3)], strides=[2, 2], pads=[1] * 4
            ),
            r"a Conv with strides \[2, 2\]",
        ),
        (
            lambda net: net.add("Conv", ["x", net.weights(6, 1, 3, 3)], group=6, pads=[1] * 4),
            "a Conv with group 6",
        ),
        (
            lambda net: net.add("Conv", ["x", net.weights(6, 6, 3, 3)]),
            r"a Conv with pads \[0, 0, 0, 0\]",
        ),
        (
            lambda net: net.add("Conv", ["x", net.weights(6, 6, 9, 9)], pads=[4] * 4),
            "a Conv of kernel size 9 x 9",
        ),
        (
            lambda net: net.add("MaxPool", ["x"], kernel_shape=[3, 3], strides=[2, 2]),
            r"a MaxPool with kernel_shape \[3, 3\]",
        ),
        (transposed(3, [0, 0, 0, 0], 0), "a ConvTranspose that does not double the image"),
    ],
)
def test_networks_that_are_not_computed_are_refused_by_what_they_hold(
    tmp_path: Path, add: Callable[[Net], str], problem: str
) -> None:
    with pytest.raises(FailedPrecondition, match=rf"net\.onnx has {problem}.*another backend"):
        loaded(tmp_path, one(add, 6))


def test_a_network_of_no_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="does not take one float32 image"):
        loaded(tmp_path, onnx_models.plus(1))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match=r"net\.onnx cannot be read as ONNX"):
        loaded(tmp_path, b"no network")


@pytest.mark.parametrize(
    ("flags", "fastest"),
    [
        ("avx512f avx512bw avx512cd avx512dq avx512vl avx2 bmi1 bmi2 f16c fma abm movbe", 0),
        ("avx512f avx2 bmi1 bmi2 f16c fma abm movbe", 1),
        ("sse2", 2),
    ],
)
def test_a_processor_gets_the_build_that_it_can_run(flags: str, fastest: int) -> None:
    builds = library.runnable_builds(f"processor : 0\nflags\t\t: {flags}\n")
    names = ["kernels-x86-64-v4.so", "kernels-x86-64-v3.so", "kernels.so"]
    assert [path.name for path in builds] == names[fastest:]
