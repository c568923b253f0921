"""A sleap-nn network as plain torch modules: what imported networks are compared with.

Shares no code with the importer or its graphs. `torch.load` would need sleap-nn's classes, so
checkpoints are loaded with stand-ins for them.
"""

import pickle
import types
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import nn


class Anything:
    def __init__(self, *arguments, **named):
        pass

    def __setstate__(self, state):
        pass


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if module in ("torch", "torch._utils", "collections"):
            return super().find_class(module, name)
        return Anything


def load_state_dict(folder: Path) -> dict[str, torch.Tensor]:
    module = types.SimpleNamespace(__name__="pickle", Unpickler=_Unpickler)
    checkpoint = torch.load(
        folder / "best.ckpt", map_location="cpu", weights_only=False, pickle_module=module
    )
    return checkpoint["state_dict"]


def block(channels, *filters):
    layers = []
    for before, after in zip((channels, *filters), filters, strict=False):
        layers += [nn.Conv2d(before, after, 3, padding="same"), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """A UNet with its heads, built from the configuration's numbers."""

    def __init__(self, folder: Path):
        super().__init__()
        config = yaml.safe_load((folder / "training_config.yaml").read_text())
        unet = config["model_config"]["backbone_config"]["unet"]
        heads = config["model_config"]["head_configs"]
        self.head_strides = [
            part["output_stride"]
            for head in heads.values()
            if head is not None
            for part in head.values()
        ]
        depth = int(np.log2(unet["max_stride"]))
        ups = int(np.log2(unet["max_stride"] // unet["output_stride"]))
        filters = [int(unet["filters"] * unet["filters_rate"] ** i) for i in range(depth + 1)]
        inputs = [unet["in_channels"], *filters]
        self.max_stride = unet["max_stride"]
        self.encoders = nn.ModuleList(
            block(inputs[i], filters[i], filters[i]) for i in range(depth)
        )
        self.middle = block(filters[-2], filters[-1], filters[-1])
        self.ups, self.decoders = nn.ModuleList(), nn.ModuleList()
        below = filters[-1]
        for i in reversed(range(depth - ups, depth)):
            if unet["up_interpolate"]:
                self.ups.append(nn.Upsample(scale_factor=2, mode="bilinear"))
                joined = filters[i] + below
            else:
                up = nn.ConvTranspose2d(below, filters[i], 3, 2, padding=1, output_padding=1)
                self.ups.append(nn.Sequential(up, nn.ReLU()))
                joined = 2 * filters[i]
            self.decoders.append(block(joined, filters[i], filters[i]))
            below = filters[i]
        self.heads = nn.ModuleDict()
        self.load(load_state_dict(folder))

    def load(self, state):
        """Gives the tensors to the layers in the order in which the checkpoint names them."""
        for name in state:
            if name.startswith("model.head_layers") and name.endswith("weight"):
                _, _, index, class_name, *_ = name.split(".")
                count, channels = state[name].shape[:2]
                self.heads[f"{class_name}_{index}"] = nn.Conv2d(channels, count, 1)
        parts = {
            "encoders": self.encoders,
            "middle_blocks": self.middle,
            "decoders": nn.ModuleList(
                layer for pair in zip(self.ups, self.decoders, strict=True) for layer in pair
            ),
            "head_layers": self.heads,
        }
        for word, part in parts.items():
            tensors = [tensor for name, tensor in state.items() if f"{word}." in name]
            with torch.no_grad():
                for parameter, tensor in zip(part.parameters(), tensors, strict=True):
                    assert parameter.shape == tensor.shape
                    parameter.copy_(tensor)

    def forward(self, x):
        skips = []
        for encoder in self.encoders:
            skips.append(encoder(x))
            x = nn.functional.max_pool2d(skips[-1], 2)
        x, stride = self.middle(x), self.max_stride
        features = {stride: x}
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            x, stride = decoder(torch.cat([skips.pop(), up(x)], dim=1)), stride // 2
            features[stride] = x
        maps = {}
        for (name, head), head_stride in zip(self.heads.items(), self.head_strides, strict=True):
            made = head(features[head_stride])
            maps[name] = torch.sigmoid(made) if name.startswith("ClassMaps") else made
        return maps


def forward(folder: Path, image_BCHW: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the heads' maps [B, C, H, W] of network input, 0 … 1, in the network's colours."""
    with torch.inference_mode():
        return {name: m.numpy() for name, m in UNet(folder)(torch.from_numpy(image_BCHW)).items()}
