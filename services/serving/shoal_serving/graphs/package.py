"""Writes the folder of one version of a served model."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

from shoal_common.inference.chain import CHAIN_FILE, COMPOSED_FILE, CONTRACT_FILE
from shoal_common.inference.contract import PoseContract
from shoal_core.errors import AlreadyExists
from shoal_serving.graphs.network import Network
from shoal_serving.graphs.plans import make_plan


def write_package(destination: Path, contract: PoseContract, networks: Sequence[Network]) -> None:
    """Writes contract, chain, parts and composed graph; the folder appears whole or not at all.

    Raises:
        AlreadyExists: MODEL_VERSION_EXISTS when the folder exists.
    """
    if destination.exists():
        raise AlreadyExists(
            "MODEL_VERSION_EXISTS",
            f"{destination} exists already; versions are never overwritten, choose a new one.",
            folder=destination,
        )
    destination.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))
    try:
        _write_files(draft, contract, networks)
        draft.chmod(0o755)
        draft.rename(destination)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _write_files(folder: Path, contract: PoseContract, networks: Sequence[Network]) -> None:
    plan = make_plan(contract, networks, composed=False)
    for part in plan.parts:
        (folder / part.file_name()).write_bytes(part.model().SerializeToString())
    composed = make_plan(contract, networks, composed=True).composed(contract.kind)
    (folder / COMPOSED_FILE).write_bytes(composed.SerializeToString())
    (folder / CHAIN_FILE).write_text(plan.chain().to_json(), encoding="utf-8")
    (folder / CONTRACT_FILE).write_text(contract.to_json(), encoding="utf-8")
