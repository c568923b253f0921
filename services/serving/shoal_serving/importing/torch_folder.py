"""A sleap-nn model folder: `training_config.yaml` together with the network in `best.ckpt`.

Frames reach the network as in training: fitted to `max_height` and `max_width` (scaled up or
down until they touch, then zeros), divided by 255, scaled by `preprocessing.scale` (bilinear,
half-pixel centres, antialiased), padded with zeros to a multiple of the backbone's stride; crops
are cut around the centroid and scaled afterwards. Peaks are refined by integral refinement.
Where imported models differ from training:

- RGB frames for a gray network are weighted as in SLEAP, by weights that add up to 1.
- Before version 0.1.0 training cut crops out of the scaled frame: a crop is blended in another
  order, and its outermost pixels are not weighed with those outside.
- Since then training cuts first, and stretches the scaled crop to a whole number of pixels:
  imported models do not, where side · scale is no whole number.
- A model trained on tiles of frames (`tiling`) sees whole frames.
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
        target_size_px=config.target_size_px,
    )
