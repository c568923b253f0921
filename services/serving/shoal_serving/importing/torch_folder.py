"""A sleap-nn model folder: `training_config.yaml` together with the network in `best.ckpt`.

Frames reach the network as in SLEAP: divided by 255, scaled by `preprocessing.scale`
(bilinear, half-pixel centres), padded with zeros to a multiple of the backbone's stride; crops
are cut around the centroid at full resolution and scaled afterwards. Peaks are refined by
integral refinement. What the folder's files do not say:

- `max_height` and `max_width` are not applied: frames keep their own size.
- The scaled image may have been antialiased in training; here it is not. At scale 0.5 that moves
  nodes by 0.01 px (gray flies) to 0.16 px (a robot in colour) in the median.
- Crops are taken to be cut as here: nodes then lie on the labels without a common shift.
- RGB frames for a gray network are weighted as in SLEAP.
- The order of the colours, see `TorchConfig.sees_bgr`.
"""

from pathlib import Path

from shoal_common.inference.contract import Stage
from shoal_serving.graphs.network import Network
from shoal_serving.importing.torch_checkpoint import read_state_dict
from shoal_serving.importing.torch_config import read_torch_config
from shoal_serving.importing.torch_files import CONFIG_FILE, WEIGHTS_FILE
from shoal_serving.importing.torch_graph import make_torch_body
from shoal_serving.importing.trained_model import TrainedModel


def read_torch_folder(folder: Path) -> TrainedModel:
    """Returns the model of one folder.

    Raises:
        InvalidArgument: as `read_torch_config`, `read_state_dict` and `make_torch_body`.
    """
    config = read_torch_config(folder)
    body = make_torch_body(config, read_state_dict(folder / WEIGHTS_FILE))
    stage = Stage(
        name=config.stage,
        input_scale=config.input_scale,
        max_stride=body.max_stride,
        output_strides={head.name: head.stride for head in body.heads},
        refinement="integral",
        antialias=True,
    )
    version = f" {config.sleap_nn_version}" if config.sleap_nn_version else ""
    return TrainedModel(
        network=Network(stage, body),
        skeleton=config.skeleton,
        classes=config.classes,
        anchor_part=config.anchor_part,
        crop_size_px=config.crop_size_px,
        source=f"sleap-nn{version} (PyTorch)",
        files=(folder / CONFIG_FILE, folder / WEIGHTS_FILE),
    )
