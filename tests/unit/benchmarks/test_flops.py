from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from tests.benchmarks.flops import network_flops
from tests.fakes import onnx_models
from tests.fakes.onnx_models import FLOAT


def flops(tmp_path: Path, node: str, weights: np.ndarray, shape: tuple[int, ...], **attributes):
    path = tmp_path / "net.onnx"
    axes = ["B", shape[1], "H", "W"] if len(shape) == 4 else ["B", shape[1]]
    out = ["B", "N", "H2", "W2"] if len(shape) == 4 else ["B", "N"]
    path.write_bytes(
        onnx_models.graph(
            [helper.make_node(node, ["x", "w"], ["y"], **attributes)],
            {"x": (FLOAT, axes)},
            {"y": (FLOAT, out)},
            {"w": weights.astype(np.float32)},
        )
    )
    return network_flops(path, shape)


def test_a_convolution_multiplies_every_weight_at_every_pixel(tmp_path: Path) -> None:
    weights = np.zeros((8, 3, 3, 3))
    count = flops(tmp_path, "Conv", weights, (2, 3, 16, 20), pads=[1, 1, 1, 1])
    assert count == 2 * 2 * (16 * 20) * (8 * 3 * 9)


def test_a_stride_of_two_costs_a_quarter(tmp_path: Path) -> None:
    weights = np.zeros((8, 3, 2, 2))
    whole = flops(tmp_path, "Conv", weights, (1, 3, 16, 16), pads=[0, 0, 1, 1])
    half = flops(tmp_path, "Conv", weights, (1, 3, 16, 16), strides=[2, 2])
    assert whole == pytest.approx(4 * half)


def test_a_transposed_convolution_costs_what_it_inverts(tmp_path: Path) -> None:
    up = flops(tmp_path, "ConvTranspose", np.zeros((8, 3, 2, 2)), (1, 8, 8, 8), strides=[2, 2])
    down = flops(tmp_path, "Conv", np.zeros((8, 3, 2, 2)), (1, 3, 16, 16), strides=[2, 2])
    assert up == down


def test_a_matrix_product(tmp_path: Path) -> None:
    assert flops(tmp_path, "MatMul", np.zeros((5, 7)), (3, 5)) == 2 * 3 * 5 * 7
