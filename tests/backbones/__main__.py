"""Builds each encoder of backbones.txt, trains a step, exports it and compares the graph.

Prints a line for each and exits with 1 unless all of them pass.
"""

import argparse
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnxruntime
import timm
import torch

from shoal_core.errors import ShoalError
from shoal_training.config import PretrainedConfig
from shoal_training.export.onnx_graph import export_graph
from shoal_training.heads import HeadSpec
from shoal_training.networks import PoseNetwork, build_network

HEADS = (
    HeadSpec("CenteredInstanceConfmapsHead", 4, 4),
    HeadSpec("ClassVectorsHead", 2, 1, is_map=False, output="softmax", layers=(16,)),
)
SIZES = ((160, 160), (192, 256))
TOLERANCE = 1e-4
"""Of the largest value: sums of float32 through a hundred layers, in another order."""


def main() -> int:
    """Checks the named encoders, or all; returns 1 if any fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.backbones", description=__doc__)
    parser.add_argument("names", nargs="*", help="encoders; none: all of backbones.txt")
    names = parser.parse_args().names
    if not names:
        names = files("shoal_training.networks").joinpath("backbones.txt").read_text().split()
    failed = [name for name in names if not _passes(name)]
    _say(f"{len(names) - len(failed)} of {len(names)} encoders pass; failed: {failed or 'none'}")
    return 1 if failed else 0


def _passes(name: str) -> bool:
    began = time.monotonic()
    try:
        network = _with_weights_of_a_file(name)
        if not _learns(network):
            _say(f"{name}: a training step changes nothing, or makes numbers that are none")
            return False
        difference = _difference(network)
    except (ShoalError, RuntimeError, ValueError) as error:
        _say(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
        return False
    count = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    seconds = time.monotonic() - began
    _say(f"{name}: {count:.1f} M parameters, graph {difference:.1e} off, {seconds:.0f} s")
    return difference < TOLERANCE


def _with_weights_of_a_file(name: str) -> PoseNetwork:
    """Returns the network with an encoder from a file as timm's classifiers are saved."""
    torch.manual_seed(0)
    classifier = timm.create_model(name, pretrained=False)
    with tempfile.TemporaryDirectory(prefix="shoal-backbones-") as folder:
        path = Path(folder, "weights.pt")
        torch.save(classifier.state_dict(), path)
        config = PretrainedConfig(encoder=name, decoder_filters=64, weights_file=str(path))
        network = build_network(config, 1, HEADS)
    first = next(iter(classifier.parameters()))
    assert any(torch.equal(first, other) for other in network.backbone.encoder.parameters())
    return network


def _learns(network: PoseNetwork) -> bool:
    """Returns whether one step of Adam changes what a gradient reaches, the first layer included.

    Residual blocks of some families begin as their short cut: inside, gradients are 0 at first.
    """
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    before = [parameter.detach().clone() for parameter in network.backbone.encoder.parameters()]
    outputs = network.train()(torch.rand(2, 1, *SIZES[0]))
    loss = sum(output.square().mean() for output in outputs.values())
    loss.backward()
    optimizer.step()
    after = list(network.backbone.encoder.parameters())
    changed = [not torch.equal(old, new) for old, new in zip(before, after, strict=True)]
    reached = [new.grad is not None and bool(new.grad.any()) for new in after]
    return bool(torch.isfinite(loss)) and reached[0] and changed == reached


def _difference(network: PoseNetwork) -> float:
    """Returns how far the graph is from torch, over the largest value, at several sizes."""
    inference = network.eval().inference_network().eval()
    session = onnxruntime.InferenceSession(export_graph(network).SerializeToString())
    worst = 0.0
    for size in SIZES:
        images = torch.rand(2, 1, *size)
        with torch.no_grad():
            expected = inference(images)
        made = session.run(None, {"input": images.numpy()})
        for maps, value in zip(made, expected.values(), strict=True):
            scale = max(1.0, float(value.abs().max()))
            worst = max(worst, float(np.abs(maps - value.numpy()).max()) / scale)
    return worst


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
