"""`$SHOAL_HOME`: the folder of everything durable."""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shoal_core.errors import FailedPrecondition, ResourceExhausted

LEAST_FREE_BYTES = 16 * 2**20
"""Room without which an ensemble neither starts nor makes progress that lasts."""


@dataclass(frozen=True)
class Home:
    """Paths below `$SHOAL_HOME`."""

    folder: Path

    @property
    def lock_file(self) -> Path:
        """Locked as long as any process of an ensemble lives."""
        return self.folder / "lock"

    @property
    def config_file(self) -> Path:
        """What an ensemble does differently here, if there is such a file."""
        return self.folder / "config.toml"

    @property
    def state_file(self) -> Path:
        """Targets and processes of the ensemble that `shoal up` started."""
        return self.folder / "ensemble.json"

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.folder / "logs"

    @property
    def model_repository(self) -> Path:
        """What the engine loads from."""
        return self.folder / "models" / "repository"

    @property
    def triton_repository(self) -> Path:
        """What Triton loads from; serving writes it."""
        return self.folder / "models" / "triton"

    @property
    def is_full(self) -> bool:
        """Whether the disk has no room for services to write what they must."""
        return shutil.disk_usage(self.folder).free < LEAST_FREE_BYTES

    def log_file(self, name: str) -> Path:
        """Log of a process."""
        return self.logs / f"{name}.log"

    def create(self) -> None:
        """Makes the folders that every process expects.

        Raises:
            FailedPrecondition: HOME_UNUSABLE when they cannot be made or written to.
            ResourceExhausted: DISK_FULL when services could not even write their logs.
        """
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            self.model_repository.mkdir(parents=True, exist_ok=True)
            self.lock_file.touch()
        except OSError as error:
            raise FailedPrecondition(
                "HOME_UNUSABLE",
                f"{self.folder} cannot hold Shoal's data ({error.strerror}); "
                "make it writable or set SHOAL_HOME to another folder.",
                path=self.folder,
            ) from error
        if self.is_full:
            raise ResourceExhausted(
                "DISK_FULL",
                f"The disk of {self.folder} has less than {LEAST_FREE_BYTES >> 20} MiB free; make "
                "room, or set SHOAL_HOME to another disk.",
                path=self.folder,
            )


def home_from_environment(environment: Mapping[str, str]) -> Home:
    """Returns the home named by SHOAL_HOME, or the one in the user's data folder."""
    named = environment.get("SHOAL_HOME")
    folder = Path(named).expanduser() if named else _user_data_folder(environment) / "shoal"
    return Home(folder.absolute())


def _user_data_folder(environment: Mapping[str, str]) -> Path:
    if sys.platform == "win32":
        return Path(environment.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(environment.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


def current_home() -> Home:
    """Returns the home of this process."""
    return home_from_environment(os.environ)
