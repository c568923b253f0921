"""How predictions were made, as the files that hold them say."""

import json
from pathlib import Path
from typing import Any

from shoal_cli.installed import require
from shoal_common.track_document import CONFIG
from shoal_core.errors import InvalidArgument

_ANALYSIS_SUFFIX = ".h5"


def recorded_document(path: Path) -> dict[str, Any]:
    """Returns the document of the job behind a .slp or an analysis file (.h5).

    Raises:
        InvalidArgument: CONFIG_INVALID when there is none, or not one for all videos.
        FailedPrecondition: PART_NOT_INSTALLED.
    """
    provenance = _provenance(path)
    sources = provenance.get("shoal_provenance", [provenance])
    documents = [source.get(CONFIG) for source in sources]
    if not documents or not isinstance(documents[0], dict):
        raise InvalidArgument(
            "CONFIG_INVALID",
            f"{path} does not say how it was made; give a file that `shoal track` has written.",
            path=path,
        )
    if any(document != documents[0] for document in documents):
        raise InvalidArgument(
            "CONFIG_INVALID",
            f"{path} holds {len(documents)} videos whose settings differ, at least in their "
            "frames; give a file of one of them, or what --save-config has written.",
            path=path,
        )
    return dict(documents[0])


def _provenance(path: Path) -> dict[str, Any]:
    require("h5py")
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if path.suffix == _ANALYSIS_SUFFIX:
                provenance = json.loads(file["provenance"][()])
            else:
                provenance = json.loads(file["metadata"].attrs["json"])["provenance"]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InvalidArgument(
            "CONFIG_INVALID",
            f"{path} is no file of predictions ({error}); give a .slp or analysis file that "
            "`shoal track` has written, or a JSON document.",
            path=path,
        ) from error
    return provenance if isinstance(provenance, dict) else {}
