"""What killed processes leave behind: folders of sockets and shared-memory regions."""

import os
import shutil
from pathlib import Path


def remove_socket_folder(folder: Path | None) -> None:
    """Removes a folder of sockets if it is there and ours."""
    if folder is None or not folder.name.startswith("shoal-") or folder.is_symlink():
        return
    if folder.is_dir() and folder.stat().st_uid == os.getuid():
        shutil.rmtree(folder, ignore_errors=True)


def remove_dead_regions() -> None:
    """Removes the shared-memory regions whose owners were killed."""
    from shoal_common.shm_files import sweep_dead_regions

    sweep_dead_regions()
