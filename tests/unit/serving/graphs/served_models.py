"""The real SLEAP models (class vectors are grafted on them), imported on first use."""

from pathlib import Path

from shoal_serving.importing import import_model
from tests.unit.serving.graphs.running import ServedModel
from tests.unit.serving.importing.class_vectors import graft_class_vectors

GRAFTED = "with class vectors: "
"""Before the name of a real folder that gets a class vector of random weights."""

FOLDERS = {
    "single_instance": ["minimal_robot.UNet.single_instance"],
    "centroid": ["minimal_instance.UNet.centroid"],
    "centered_instance": ["minimal_instance.UNet.centered_instance"],
    "topdown": ["minimal_instance.UNet.centered_instance", "minimal_instance.UNet.centroid"],
    "bottomup": ["minimal_instance.UNet.bottomup"],
    "multiclass_bottomup": ["min_tracks_2node.UNet.bottomup_multiclass"],
    "multiclass_centered_instance": [f"{GRAFTED}minimal_instance.UNet.centered_instance"],
    "multiclass_topdown": [
        f"{GRAFTED}minimal_instance.UNet.centered_instance",
        "minimal_instance.UNet.centroid",
    ],
}
"""Kind → model folders."""


class ServedModels:
    def __init__(self, models: Path, workspace: Path) -> None:
        self._models = models
        self._workspace = workspace
        self._made: dict[str, ServedModel] = {}

    def sources(self, kind: str) -> list[Path]:
        return [self._source(name) for name in FOLDERS[kind]]

    def _source(self, name: str) -> Path:
        if not name.startswith(GRAFTED):
            return self._models / name
        real = name.removeprefix(GRAFTED)
        folder = self._workspace / "grafted" / real
        return folder if folder.exists() else graft_class_vectors(self._models / real, folder)

    def __getitem__(self, kind: str) -> ServedModel:
        if kind not in self._made:
            import_model(self.sources(kind), self._workspace / kind)
            self._made[kind] = ServedModel(self._workspace / kind)
        return self._made[kind]
