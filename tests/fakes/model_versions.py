"""A version folder as the importer writes it, without a network."""

from collections.abc import Sequence
from pathlib import Path

from shoal_common.inference.chain import CHAIN_FILE, COMPOSED_FILE, CONTRACT_FILE, Chain
from shoal_common.inference.contract import PoseContract, Stage
from shoal_core.errors import InvalidArgument
from shoal_core.skeleton import Skeleton

CONTRACT = PoseContract(
    family="instances",
    kind="single_instance",
    skeleton=Skeleton(name="fly", nodes=("head", "tail"), edges=((0, 1),), symmetries=()),
    channels=1,
    stages=(
        Stage(
            name="single_instance",
            input_scale=1.0,
            max_stride=16,
            output_strides={"SingleInstanceConfmapsHead": 2},
            refinement="integral",
        ),
    ),
)


def model_folder(folder: Path, content: str = "weights") -> Path:
    """Makes a folder that the fake importer accepts."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "best_model.h5").write_text(content)
    (folder / "training_config.json").write_text("{}")
    return folder


def write_version(folders: Sequence[Path], destination: Path) -> None:
    """Imports a folder of `model_folder`."""
    for folder in folders:
        if not (folder / "best_model.h5").exists():
            raise InvalidArgument(
                "MODEL_FILE_MISSING", f"{folder} holds no best_model.h5.", path=folder
            )
    destination.mkdir()
    (destination / CONTRACT_FILE).write_text(CONTRACT.to_json())
    (destination / CHAIN_FILE).write_text(
        Chain(inputs=("images",), outputs=("images",), steps=()).to_json()
    )
    (destination / COMPOSED_FILE).write_bytes(b"graph of " + folders[0].name.encode())
