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
from torch.nn import functional

from tests.unit.serving.importing import torch_encoders

STEM_KERNEL_SIZE = 7
HEAD_CLASSES = {
    "single_instance": {"confmaps": "SingleInstanceConfmapsHead"},
    "centroid": {"confmaps": "CentroidConfmapsHead"},
    "centered_instance": {"confmaps": "CenteredInstanceConfmapsHead"},
    "bottomup": {"confmaps": "MultiInstanceConfmapsHead", "pafs": "PartAffinityFieldsHead"},
    "multi_class_bottomup": {
        "confmaps": "MultiInstanceConfmapsHead",
        "class_maps": "ClassMapsHead",
    },
    "multi_class_topdown": {
        "confmaps": "CenteredInstanceConfmapsHead",
        "class_vectors": "ClassVectorsHead",
    },
}
"""Kind → part of the configuration → class of the head, in their order."""


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


class Network(nn.Module):
    """A backbone with its heads; the first pass makes the layers that are configured."""

    def __init__(self, config):
        super().__init__()
        model = config["model_config"]
        ((name, self.backbone),) = [b for b in model["backbone_config"].items() if b[1] is not None]
        ((kind, parts),) = [h for h in model["head_configs"].items() if h[1] is not None]
        self.encode = {
            "unet": self._unet,
            "convnext": self._convnext,
            "swint": self._swin,
        }[name]
        self.decoder = "decoders.0" if name == "unet" else "dec"
        self.prefix = "stack0_dec" if name == "unet" else "dec"
        self.heads = [(name, parts[part]) for part, name in HEAD_CLASSES[kind].items()]
        self.edge_count = len(parts.get("pafs", {}).get("edges", ()))
        self.layers, self.tensors = nn.ModuleDict(), nn.ParameterDict()
        if name == "unet":
            self.filters = self.backbone["filters"]
            self.stem_blocks = int(np.log2(self.backbone["stem_stride"] or 1))
            self.blocks = int(np.log2(self.backbone["max_stride"])) - self.stem_blocks
            self.stride = self.backbone["max_stride"] * (2 if self.stem_blocks else 1)
            ups = self.backbone["max_stride"] // self.backbone["output_stride"]
            self.ups = int(np.log2(ups)) + self.stem_blocks
        else:
            arch = self.backbone["arch"]
            self.filters = arch["embed"] if name == "swint" else arch["channels"][0]
            self.stem_blocks, self.blocks = 1, 3
            self.stride = 16 * self.backbone["stem_patch_stride"]
            self.ups = int(np.log2(self.stride // self.backbone["output_stride"]))
        self.forward(torch.zeros(1, self.backbone["in_channels"], self.stride, self.stride))

    def names(self):
        """Returns the tensors by their names in a checkpoint."""
        names = {}
        for key, tensor in {**self.layers.state_dict(), **self.tensors.state_dict()}.items():
            names[f"model.{key.replace('/', '.')}"] = tensor
        return names

    def load(self, state):
        own = self.names()
        assert set(own) == set(state)
        for name, tensor in own.items():
            assert tensor.shape == state[name].shape, name
            tensor.copy_(state[name])
        return self

    def forward(self, x):
        deepest, skips = self.encode(x)
        x, features, stride = deepest, {self.stride: deepest}, self.stride
        for block in range(self.ups):
            skip = skips.pop() if skips else None
            x = self._up(block, stride, x, skip)
            stride //= 2
            features[stride] = x
        return {
            f"{name}_{index}": self._head(f"head_layers.{index}", name, part, features, deepest)
            for index, (name, part) in enumerate(self.heads)
        }

    def _unet(self, x):
        """Returns the deepest feature, and the others from the first to the last."""
        skips, convs = [], self.backbone["convs_per_block"]
        for block in range(self.stem_blocks):
            name = f"backbone.stem.stem_stack.{block}.blocks.stem{block}_conv"
            x = self._convs(name, convs, x, self._filters(block), STEM_KERNEL_SIZE)
            x = functional.max_pool2d(x, 2)
        if self.stem_blocks:
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        for block in range(self.blocks):
            name = f"backbone.encoders.0.encoder_stack.{block}.blocks.stack0_enc{block}_conv"
            skips.append(self._convs(name, convs, x, self._filters(self.stem_blocks + block)))
            x = functional.max_pool2d(skips[-1], 2)
        if self.backbone["middle_block"]:
            prefixes = [f"stack0_enc{self.blocks + 1 + i}" for i in (0, 1)]
            x = self._middle(prefixes, x, self._filters(self.stem_blocks + self.blocks))
        return x, skips

    def _patches(self, x, encode, channels):
        x, starts = encode(self, x)
        filters = int(channels * self.backbone["filters_rate"])
        return self._middle(["convnext"] * 2, functional.max_pool2d(x, 2), filters), starts

    def _convnext(self, x):
        return self._patches(x, torch_encoders.convnext, self.backbone["arch"]["channels"][-1])

    def _swin(self, x):
        return self._patches(x, torch_encoders.swin, self.filters * 8)

    def _filters(self, block):
        return int(self.filters * self.backbone["filters_rate"] ** max(0, block))

    def _middle(self, prefixes, x, filters):
        names = [f"backbone.middle_blocks.{i}.blocks.{prefix}" for i, prefix in enumerate(prefixes)]
        expanding = self.backbone["convs_per_block"] - 1
        if expanding:
            x = self._convs(f"{names.pop(0)}_middle_expand_conv", expanding, x, filters)
        return self._convs(f"{names[0]}_middle_contract_conv", 1, x, filters)

    def _up(self, block, stride, x, skip):
        name = f"backbone.{self.decoder}.decoder_stack.{block}.blocks.{self.prefix}{block}"
        name = f"{name}_s{stride}_to_s{stride // 2}"
        filters = self._filters(self.stem_blocks + self.blocks - 1 - block)
        if self.backbone["up_interpolate"]:
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        else:
            up = nn.ConvTranspose2d
            x = self.layer(f"{name}_trans_conv", up, x, filters, 3, 2, 1, 1).relu()
        if skip is None:
            return self._convs(f"{name}_refine_conv", 1, x, filters)
        return self._convs(f"{name}_refine_conv", 2, torch.cat([skip, x], dim=1), filters)

    def _head(self, layer, name, part, features, deepest):
        if name == "ClassVectorsHead":
            x = deepest.amax((2, 3))
            for index in range(part["num_fc_layers"]):
                fc = f"{layer}.pre_classification{index}_fc"
                x = self.layer(fc, nn.Linear, x, part["num_fc_units"]).relu()
            classes = len(part["classes"])
            return self.layer(f"{layer}.{name}", nn.Linear, x, classes).softmax(-1)
        counts = {
            "CentroidConfmapsHead": 1,
            "PartAffinityFieldsHead": 2 * self.edge_count,
            "ClassMapsHead": len(part.get("classes", ())),
        }
        channels = counts.get(name) or len(part["part_names"])
        feature = features[part["output_stride"]]
        made = self.layer(f"{layer}.{name}.0", nn.Conv2d, feature, channels, 1)
        is_probability = name == "ClassMapsHead" or part.get("use_sigmoid_activation")
        return made.sigmoid() if is_probability else made

    def _convs(self, name, count, x, filters, size=None):
        size = size or self.backbone["kernel_size"]
        for index in range(count):
            x = self.layer(f"{name}{index}", nn.Conv2d, x, filters, size, padding="same").relu()
        return x

    def layer(self, name, make, x, *arguments, axis=1, **named):
        key = name.replace(".", "/")
        if key not in self.layers:
            self.layers[key] = make(x.shape[axis], *arguments, **named)
        return self.layers[key](x)

    def linear(self, name, x, units, *, bias=True):
        return self.layer(name, nn.Linear, x, units, axis=-1, bias=bias)

    def normalized(self, name, x, epsilon):
        made = self.layer(name, nn.LayerNorm, x.movedim(1, -1), axis=-1, eps=epsilon)
        return made.movedim(-1, 1)

    def tensor(self, name, *shape):
        key = name.replace(".", "/")
        if key not in self.tensors:
            self.tensors[key] = nn.Parameter(torch.ones(shape))
        return self.tensors[key]


def read_network(folder: Path) -> Network:
    with torch.no_grad():
        config = yaml.safe_load((folder / "training_config.yaml").read_text())
        return Network(config).load(load_state_dict(folder))


def forward(folder: Path, image_BCHW: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the heads' outputs of network input, 0 … 1, in the network's colours.

    The pass is in the image's precision.
    """
    image = torch.from_numpy(image_BCHW)
    network = read_network(folder).to(image.dtype)
    with torch.no_grad():
        return {name: maps.numpy() for name, maps in network(image).items()}


def write_folder(folder: Path, config: dict, seed: int = 0) -> Path:
    """Writes the folder of a network with random weights that keep activations near 1."""
    torch.manual_seed(seed)
    with torch.no_grad():
        network = Network(config)
        for tensor in network.parameters():
            if tensor.ndim in (2, 4):
                nn.init.kaiming_normal_(tensor, nonlinearity="relu")
            else:
                tensor.normal_(0, 0.1)
        for tensor in network.tensors.values():
            tensor.normal_(0, 0.3)
    folder.mkdir()
    torch.save({"state_dict": network.names()}, folder / "best.ckpt")
    (folder / "training_config.yaml").write_text(yaml.safe_dump(config))
    return folder
