"""Damaged or changed copies of real sleap-nn model folders."""

import pytest
import torch
import yaml

from shoal_core.errors import InvalidArgument
from shoal_serving.importing import import_model
from tests.unit.serving.importing import torch_unet


def change_config(folder, change):
    path = folder / "training_config.yaml"
    config = yaml.safe_load(path.read_text())
    change(config)
    path.write_text(yaml.safe_dump(config))


def change_weights(folder, change):
    state = dict(torch_unet.load_state_dict(folder))
    change(state)
    torch.save({"state_dict": state}, folder / "best.ckpt")


def refused(folder, destination) -> InvalidArgument:
    """Returns the error of an import that leaves nothing behind."""
    with pytest.raises(InvalidArgument) as caught:
        import_model([folder], destination)
    assert not destination.exists()
    assert "\n" not in caught.value.message
    assert caught.value.message.endswith(".")
    assert str(folder) in caught.value.message
    return caught.value
