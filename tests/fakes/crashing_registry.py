"""Changes a registry again and again, and dies at another step of the way each time."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from shoal_serving.durable import DurableFiles
from shoal_serving.registry import STAGED_FOLDER, Registry, Source
from tests.fakes.model_versions import model_folder, write_version


class CrashingFiles(DurableFiles):
    """Ends the process, as `kill -9` does, when the given number of steps is used up."""

    def __init__(self, scratch: Path, steps: int) -> None:
        super().__init__(scratch)
        self.steps = steps

    def write_beside(self, path: Path, content: bytes) -> None:
        path.write_bytes(content[: len(content) // 2])
        self._step()
        super().write_beside(path, content)
        self._step()

    def make_folder(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._step()
        super().make_folder(folder)

    def flush(self, path: Path) -> None:
        self._step()
        super().flush(path)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)
        self._step()

    def _step(self) -> None:
        self.steps -= 1
        if self.steps == 0:
            os._exit(9)


def publish(registry: Registry, model_id: str, content: str, sources: Path) -> None:
    workspace = registry.new_workspace()
    write_version([model_folder(sources, content)], workspace / STAGED_FOLDER)
    registry.publish(
        model_id,
        workspace,
        source=Source((str(sources),), content, "converter"),
        create_time=datetime(2026, 1, 1, tzinfo=UTC),
    )


def change_everything(folder: Path, files: DurableFiles) -> None:
    """A first version, a second one, an alias that moves, another model that goes."""
    registry = Registry(folder, files)
    sources = folder / "sources"
    publish(registry, "flies", "first", sources)
    registry.set_alias("flies", "prod", "1")
    publish(registry, "flies", "second", sources)
    registry.set_alias("flies", "prod", "2")
    publish(registry, "mice", "third", sources)
    registry.delete("mice")
    registry.delete_alias("flies", "prod")


def main(folder: Path) -> None:
    """Leaves one folder for each step at which the process died, and one of the whole way."""
    for steps in range(1, 1000):
        target = folder / f"step-{steps:03}"
        target.mkdir()
        child = os.fork()
        if child == 0:
            change_everything(target, CrashingFiles(target / "staging", steps))
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
