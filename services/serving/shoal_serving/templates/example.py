"""Finds the animals in an image: `python example.py IMAGE`; needs numpy, onnxruntime, opencv."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

folder = Path(__file__).parent
contract = json.loads((folder / "contract.json").read_text())
image = cv2.imread(sys.argv[1], cv2.IMREAD_COLOR if contract["channels"] == 3 else 0)
images = image[None, :, :, ::-1] if contract["channels"] == 3 else image[None, :, :, None]
peak, crop_peak = contract["peak_threshold"], contract["crop_peak_threshold"]
values = {
    "images": np.ascontiguousarray(images),
    "centroids": np.array([[[image.shape[1] / 2, image.shape[0] / 2]]], np.float32),
    "peak_threshold": np.array([[peak]], np.float32),
    "crop_peak_threshold": np.array([[peak if crop_peak is None else crop_peak]], np.float32),
    "max_instances": np.array([[contract["max_instances"]]], np.int32),
    "line_samples": np.linspace(0, 1, 10, dtype=np.float32)[None],
}
session = onnxruntime.InferenceSession(folder / "model.onnx")
inputs = {port.name: values[port.name] for port in session.get_inputs()}
names = [port.name for port in session.get_outputs()]
found = dict(zip(names, session.run(names, inputs), strict=True))
if contract["family"] == "instances":
    points = found["instance_peaks"][0][: int(found["instance_counts"][0])].swapaxes(0, 1)
else:  # the peaks of each node; `edge_scores` say which of them belong together
    points = [of[:n] for of, n in zip(found["peaks"][0], found["peak_counts"][0], strict=True)]
for node, of_node in zip(contract["skeleton"]["nodes"], points, strict=True):
    print(node, " ".join(f"({x:.2f}, {y:.2f})" for x, y in of_node))
