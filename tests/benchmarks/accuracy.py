"""How far imported models are from their originals: the figures behind the tests of the importer.

`make accuracy` runs it: heads of SLEAP models against TensorFlow and against an independent NumPy
forward pass, heads of sleap-nn models against a plain torch forward pass, nodes against SLEAP's own
predictions, served results against torch with shoal_core.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import sleap_io
from numpy.typing import NDArray

from shoal_core.coordinates import instance_centroids
from shoal_core.grouping import group_parts
from shoal_serving.importing.keras_graph import read_keras_body
from shoal_serving.importing.torch_folder import read_torch_folder
from tests.unit.serving.graphs.running import read_gray_frames
from tests.unit.serving.graphs.served_models import ServedModels
from tests.unit.serving.importing import (
    numpy_keras,
    test_torch_networks,
    torch_keras,
    torch_unet,
)
from tests.unit.serving.importing.test_networks import MODELS, channels_last, run_body

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
PAIR = DATA / "pair" / "centered_pair_low_quality.mp4"
PARTS = ((0, "val"), (1, "train"))


def head_differences() -> Iterator[str]:
    """Yields a line per head: largest difference for the zero input and for random pixels."""
    for model in MODELS:
        folder = DATA / "models" / model
        body = read_keras_body(folder)
        with h5py.File(folder / "keras_activations.h5") as file:
            original = {head.name: file[head.name][()] for head in body.heads}
        first = body.heads[0]
        height, width = (length * first.stride for length in original[first.name].shape[1:3])
        zero = run_body(body, np.zeros((1, body.channels, height, width), np.float32))
        pixels = np.random.default_rng(3).integers(0, 256, (2, 64, 96, body.channels), np.uint8)
        image_BHWC = pixels.astype(np.float32) / 255
        random = run_body(body, np.ascontiguousarray(np.moveaxis(image_BHWC, -1, 1)))
        expected = numpy_keras.forward(folder, image_BHWC)
        for name, maps in original.items():
            tensorflow = np.abs(channels_last(zero[name]) - maps).max()
            numpy = np.abs(channels_last(random[name]) - expected[name]).max()
            yield f"{model} {name}: TensorFlow {tensorflow:.1e}, NumPy {numpy:.1e}"


def torch_head_differences() -> Iterator[str]:
    """Yields a line per head: largest difference from torch for a real frame and random pixels."""
    for model in test_torch_networks.MODELS:
        folder = DATA / "models_torch" / model
        body = read_torch_folder(folder).network.body
        largest: dict[str, list[float]] = {}
        for kind in ("real", "random"):
            image = test_torch_networks.network_input(DATA, kind, body.channels)
            expected = torch_unet.forward(folder, image[:, ::-1].copy())
            for name, maps in test_torch_networks.run_body(body, image).items():
                largest.setdefault(name, []).append(float(np.abs(maps - expected[name]).max()))
        for name, (real, random) in largest.items():
            yield f"{model} {name}: torch, real frame {real:.1e}, random pixels {random:.1e}"


def labels_of(model: str, name: str) -> NDArray[np.float32]:
    """Returns the instances [I, N, 2] of a file with one labelled frame, from left to right."""
    path = DATA / "models" / model / f"{name}.slp"
    (frame,) = sleap_io.load_slp(str(path), open_videos=False)
    return by_x(np.stack([instance.numpy() for instance in frame.instances]).astype(np.float32))


def by_x(points_IN2: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the instances from left to right."""
    return points_IN2[np.argsort(points_IN2[:, 0, 0])]


def node_differences(served: ServedModels) -> Iterator[str]:
    """Yields a line per frame and model: distance of nodes to SLEAP's, largest in pixels."""
    frames = read_gray_frames(PAIR, [0, 1])
    bottomup, centered = served["bottomup"], served["centered_instance"]
    for index, part in PARTS:
        made = bottomup.run(images=frames[index : index + 1])
        poses = group_parts(
            made["peaks"][0],
            made["peak_values"][0],
            made["edge_scores"][0],
            skeleton=bottomup.contract.skeleton,
            frame_size_px=(384, 384),
        )
        expected = labels_of("minimal_instance.UNet.bottomup", f"labels_pr.{part}")
        largest = np.linalg.norm(by_x(poses.points_px_IN2) - expected, axis=-1).max()
        yield f"bottom-up, frame {index}: {largest:.1e} px"
    for index, part in PARTS:
        name = "minimal_instance.UNet.centered_instance"
        centroids = instance_centroids(labels_of(name, f"labels_gt.{part}"))[None]
        made = centered.run(images=frames[index : index + 1], centroids=centroids)
        shift = by_x(made["instance_peaks"][0]) - labels_of(name, f"labels_pr.{part}")
        largest = np.linalg.norm(shift - 0.5, axis=-1).max()
        yield f"centred instance, frame {index}: {largest:.3f} px without the shift of (0.5, 0.5)"


def served_differences(served: ServedModels) -> Iterator[str]:
    """Yields a line per kind: served against torch with shoal_core, largest in pixels."""
    images = read_gray_frames(DATA / "pair" / "centered_pair_small.mp4", [100, 500])
    large = np.full((1, 1536, 2048, 1), int(np.median(images)), np.uint8)
    large[0, 1110:1494, 1600:1984] = images[0]
    (bottomup_folder,) = served.sources("bottomup")
    second, first = served.sources("topdown")
    for title, frames in (("384 x 384", images), ("1536 x 2048", large)):
        _, parts = torch_keras.find_parts(bottomup_folder, frames)
        made = served["bottomup"].run(images=frames)
        largest = np.nanmax(np.abs(made["peaks"] - parts.peaks_BNP2))
        yield f"bottom-up, {title}: {largest:.1e} px over {parts.peak_counts_BN.sum()} peaks"
        _, centroids = torch_keras.find_parts(first, frames, stride=4, highest_first=True)
        made = served["topdown"].run(images=frames)
        largest = 0.0
        for frame, image in enumerate(frames[..., 0]):
            centers = centroids.peaks_BNP2[frame, 0, : centroids.peak_counts_BN[frame, 0]]
            expected = torch_keras.find_in_crops(second, image, centers)
            expected = expected[~np.isnan(expected).all(axis=(1, 2))]
            found = made["instance_peaks"][frame, : len(expected)]
            largest = max(largest, float(np.nanmax(np.abs(found - expected))))
        yield f"top-down, {title}: {largest:.1e} px over {made['instance_counts'].sum()} animals"


def main() -> None:
    """Prints every figure."""
    for line in (*head_differences(), *torch_head_differences()):
        print(line)
    with tempfile.TemporaryDirectory() as folder:
        served = ServedModels(DATA / "models", Path(folder))
        for line in (*node_differences(served), *served_differences(served)):
            print(line)


if __name__ == "__main__":
    main()
