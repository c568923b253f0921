"""The real training program as a job: its worker or the orchestrator is killed in an epoch."""

import json

import pytest

from shoal.jobs.v1 import jobs_pb2, training_pb2
from shoal_common.channel import open_channel
from tests.contract.training.conftest import Client, Ensemble
from tests.contract.training.test_kills import killable_worker, orchestrator_command, process
from tests.fakes.labelled_folder import animal, write_labels

REAL: dict[str, tuple[str, ...]] = {"trainer_command": ()}
LAST_EPOCH = 5


def spec(ensemble: Ensemble, name: str) -> training_pb2.TrainingJobSpec:
    """A few seconds of a tiny network that finds dots, the same bits every time."""
    frames = {index: [animal(20 + 3 * index, 20), animal(25, 50)] for index in range(12)}
    labels = ensemble.folder / "dots" / "labels.slp"
    if not labels.exists():
        labels.parent.mkdir()
        write_labels(labels.parent, frames)
        ensemble.labels.add_file(labels)
    configuration = {
        "kind": "centroid",
        "name": name,
        "network": {"type": "unet", "filters": 4, "max_stride": 8, "output_stride": 4},
        "heads": {"confmaps": {"output_stride": 4}},
        "optimization": {"epochs": LAST_EPOCH + 1, "min_batches_per_epoch": 30},
        "run": {"deterministic": True, "device": "cpu", "tensorboard": False, "image_count": 0},
    }
    return training_pb2.TrainingJobSpec(
        labels=[training_pb2.LabelsFile(uri=str(labels))],
        stages=[
            training_pb2.TrainingStage(id="centroid", configuration_json=json.dumps(configuration))
        ],
    )


def losses(events: list[training_pb2.JobEvent]) -> dict[int, tuple[float, float]]:
    ended = [event.epoch_ended for event in events if event.HasField("epoch_ended")]
    return {each.epoch: (each.loss, each.validation_loss) for each in ended}


def is_in_the_middle(job: jobs_pb2.Job) -> bool:
    return 0 < job.training_progress[0].last_epoch.epoch < LAST_EPOCH


@pytest.mark.slow
async def test_killed_in_an_epoch_it_ends_as_if_nothing_had_happened(
    ensemble: Ensemble, client: Client
) -> None:
    killed = (await client.submit(spec(ensemble, "killed"))).job
    async with killable_worker(ensemble, **REAL) as worker:
        await client.until(killed.name, is_in_the_middle)
        worker.kill()
        await worker.wait()
    whole = (await client.submit(spec(ensemble, "whole"))).job
    async with ensemble.worker(**REAL):
        killed, events = await client.until_ended(killed.name)
        whole, undisturbed = await client.until_ended(whole.name)
    assert (killed.state, whole.state) == (jobs_pb2.JOB_STATE_SUCCEEDED,) * 2
    assert killed.training_progress[0].attempt == 2
    assert losses(events)[LAST_EPOCH] == losses(undisturbed)[LAST_EPOCH]
    assert "centroid/model/network.onnx" in await client.paths(killed.name)


@pytest.mark.slow
async def test_the_orchestrator_killed_in_an_epoch_costs_nothing(ensemble: Ensemble) -> None:
    target = ensemble.orchestrator_config.listen
    async with open_channel(target) as channel, ensemble.worker(**REAL):
        client = Client(channel, ensemble.folder)
        async with process(orchestrator_command(ensemble)) as orchestrator:
            await channel.channel_ready()
            disturbed = (await client.submit(spec(ensemble, "disturbed"))).job
            await client.until(disturbed.name, is_in_the_middle)
            orchestrator.kill()
            await orchestrator.wait()
        async with ensemble.orchestrator() as client:
            disturbed, events = await client.until_ended(disturbed.name)
            whole = (await client.submit(spec(ensemble, "whole"))).job
            whole, undisturbed = await client.until_ended(whole.name)
            assert "centroid/model/network.onnx" in await client.paths(disturbed.name)
    assert (disturbed.state, whole.state) == (jobs_pb2.JOB_STATE_SUCCEEDED,) * 2
    assert disturbed.training_progress[0].attempt == 1
    assert losses(events) == losses(undisturbed)
