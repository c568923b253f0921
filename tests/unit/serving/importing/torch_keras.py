"""A Keras network in torch, and poses from it with shoal_core: what serving is compared with.

Shares no code with the importer or its graphs.
"""

import json
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import torch
from torch.nn import functional

from shoal_core import coordinates, pafs, peaks


def forward(folder: Path, image_BHWC: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the heads' maps [B, H, W, C]; the image is network input, 0 … 1."""
    with h5py.File(folder / "best_model.h5") as file, torch.inference_mode():
        layers = json.loads(file.attrs["model_config"])["config"]
        weights = file["model_weights"]
        values = {}
        for record in layers["layers"]:
            name = record["config"]["name"]
            if record["class_name"] == "InputLayer":
                values[name] = torch.from_numpy(np.moveaxis(image_BHWC, -1, 1).copy())
                continue
            inputs = [values[source[0]] for source in record["inbound_nodes"][0]]
            group = weights[name].get(name, {})
            values[name] = run_layer(record["class_name"], record["config"], inputs, group)
        return {
            output[0]: values[output[0]].movedim(1, -1).numpy()
            for output in layers["output_layers"]
        }


def run_layer(class_name, config, inputs, group):
    (x, *_) = inputs
    match class_name:
        case "Conv2D":
            kernel = torch.from_numpy(group["kernel:0"][()]).permute(3, 2, 0, 1)
            bias = torch.from_numpy(group["bias:0"][()])
            y = functional.conv2d(x, kernel, bias, padding="same")
            return torch.sigmoid(y) if config["activation"] == "sigmoid" else y
        case "Conv2DTranspose":
            kernel = torch.from_numpy(group["kernel:0"][()]).permute(3, 2, 0, 1)
            bias = torch.from_numpy(group["bias:0"][()])
            y = functional.conv_transpose2d(x, kernel, bias, stride=2)
            return y[..., : 2 * x.shape[2], : 2 * x.shape[3]]
        case "Activation":
            return torch.relu(x)
        case "MaxPooling2D":
            return functional.max_pool2d(x, 2)
        case "UpSampling2D":
            return functional.interpolate(x, scale_factor=2, mode="bilinear")
        case "Concatenate":
            return torch.cat(inputs, dim=1)
    raise AssertionError(class_name)


def network_input(images_BHWC: np.ndarray, scale: float, stride: int) -> np.ndarray:
    image = torch.from_numpy(np.moveaxis(images_BHWC, -1, 1).astype(np.float32) / 255)
    if scale != 1:
        size = [int(length * scale) for length in image.shape[2:]]
        image = functional.interpolate(image, size=size, mode="bilinear", align_corners=False)
    missing = [-length % stride for length in image.shape[2:]]
    padded = functional.pad(image, (0, missing[1], 0, missing[0]))
    return padded.movedim(1, -1).numpy()


def head(maps, class_name):
    return next((array for name, array in maps.items() if name.startswith(class_name)), None)


def refined(maps, confidence, found):
    offsets = head(maps, "OffsetRefinementHead")
    if offsets is None:
        return peaks.refine_integral(confidence, found)
    paired = offsets.reshape(*offsets.shape[:3], -1, 2)
    return peaks.refine_offsets(paired, found)


def in_raster_order(found):
    """Returns the peaks of each frame and node row by row."""
    column, row = found.points_map_Q2.T
    order = np.lexsort((column, row, found.nodes_Q, found.frames_Q))
    fields = {field.name: getattr(found, field.name)[order] for field in dataclass_fields(found)}
    return type(found)(**fields)


def find_parts(
    folder, images_BHWC, *, scale=1.0, max_stride=8, stride=2, places=20, highest_first=False
):
    """Returns the heads' maps and the local peaks in full-frame pixels, padded to `places`."""
    maps = forward(folder, network_input(images_BHWC, scale, max_stride))
    confidence = next(array for name, array in maps.items() if "Confmaps" in name)
    rough = peaks.local_peaks(confidence)
    found = refined(maps, confidence, rough if highest_first else in_raster_order(rough))
    moved = coordinates.map_to_frame(found.points_map_Q2, output_stride=stride, input_scale=scale)
    found = replace(found, points_map_Q2=moved.astype(np.float32))
    return maps, peaks.pad_peaks(found, len(images_BHWC), confidence.shape[-1], places)


def line_scores(maps, peaks_px_BNP2, edges, *, paf_stride=4):
    fields = head(maps, "PartAffinityFieldsHead")
    paired = fields.reshape(*fields.shape[:3], -1, 2)
    return pafs.edge_scores(paired, peaks_px_BNP2 / np.float32(paf_stride), edges)


def find_in_crops(folder, image_HW, centroids_px_I2, *, side=96, stride=2):
    """Returns the nodes [I, N, 2] in crops around centroids, in full-frame pixels."""
    origins = coordinates.crop_origins(np.asarray(centroids_px_I2, np.float64), side)
    cut = np.stack([crop(image_HW, origin, side) for origin in origins])[..., None]
    maps = forward(folder, cut.astype(np.float32) / 255)
    confidence = head(maps, "CenteredInstanceConfmapsHead")
    found = refined(maps, confidence, peaks.global_peaks(confidence))
    padded = peaks.pad_peaks(found, len(cut), confidence.shape[-1], 1)
    in_crop = coordinates.map_to_frame(padded.peaks_BNP2[:, :, 0], output_stride=stride)
    return coordinates.crop_to_frame(in_crop, origins)


def crop(image_HW, origin, side):
    """Bilinear samples, 0 outside the frame."""
    height, width = image_HW.shape
    x, y = (origin[axis] + np.arange(side) for axis in (0, 1))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    padded = np.pad(image_HW.astype(np.float64), side + 1)
    rows, columns = top + side + 1, left + side + 1
    part_y, part_x = (y - top)[:, None], (x - left)[None]
    mixed = sum(
        padded[np.ix_(rows + i, columns + j)]
        * (part_y if i else 1 - part_y)
        * (part_x if j else 1 - part_x)
        for i in (0, 1)
        for j in (0, 1)
    )
    inside_y = (y >= 0) & (y <= height - 1)
    inside_x = (x >= 0) & (x <= width - 1)
    return mixed * inside_y[:, None] * inside_x[None]
