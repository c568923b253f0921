"""Sweeps: one job for each combination of values, the best by a figure."""

import json

import pytest

from shoal.jobs.v1 import jobs_pb2, sweeps_pb2
from shoal_core.errors import InvalidArgument, NotFound
from tests.contract.training.conftest import Client, Ensemble, call

EPOCHS = sweeps_pb2.SweepAxis(key="fake.epochs", values_json=["1", "3", "2"])


async def create(client: Client, **fields: object) -> sweeps_pb2.TrainingSweep:
    request = sweeps_pb2.CreateTrainingSweepRequest(
        **{
            "parent": "projects/lab",
            "base": client.spec(),
            "axes": [EPOCHS],
            "metric": "oks.mAP",
        }
        | fields
    )
    return (await call(client.sweeps.CreateTrainingSweep, request)).sweep


async def get(client: Client, name: str) -> sweeps_pb2.TrainingSweep:
    request = sweeps_pb2.GetTrainingSweepRequest(name=name)
    return (await call(client.sweeps.GetTrainingSweep, request)).sweep


@pytest.mark.parametrize(("minimise", "best"), [(False, 1), (True, 0)])
async def test_best_trial_is_that_of_the_best_figure(
    ensemble: Ensemble, client: Client, minimise: bool, best: int
) -> None:
    sweep = await create(client, minimise=minimise)
    assert not sweep.HasField("best_trial_index")
    async with ensemble.worker():
        for trial in sweep.trials:
            await client.until_ended(trial.job)
        done = await get(client, sweep.name)
    assert [trial.state for trial in done.trials] == [jobs_pb2.JOB_STATE_SUCCEEDED] * 3
    assert [trial.metric_value for trial in done.trials] == pytest.approx([1, 11 / 6, 3 / 2])
    assert done.best_trial_index == best


async def test_trials_are_all_combinations_the_first_axis_varying_slowest(client: Client) -> None:
    spec = client.spec("centroid", "centered_instance")
    limits = sweeps_pb2.SweepAxis(key="centered_instance:data.limit", values_json=["10", "20"])
    sweep = await create(client, base=spec, axes=[EPOCHS, limits])
    values = [tuple(trial.values_json) for trial in sweep.trials]
    assert values == [(epochs, limit) for epochs in ("1", "3", "2") for limit in ("10", "20")]
    job = await client.get(sweep.trials[-1].job)
    centroid, instance = (json.loads(each.configuration_json) for each in job.training.stages)
    assert (centroid["data"]["limit"], instance["data"]["limit"]) == (5, 20)
    assert (centroid["fake"]["epochs"], instance["fake"]["epochs"]) == (2, 2)
    assert sweep.stage == "centered_instance"


async def test_the_same_request_is_the_same_sweep_of_the_same_jobs(client: Client) -> None:
    first, second = await create(client), await create(client)
    assert first == second
    other = await create(client, metric="oks.mAR")
    assert other.name != first.name
    assert [trial.job for trial in other.trials] == [trial.job for trial in first.trials]


async def test_sweeps_are_listed_the_newest_first_without_their_trials(client: Client) -> None:
    names = [(await create(client, metric=metric)).name for metric in ("a", "b", "c")]
    request = sweeps_pb2.ListTrainingSweepsRequest(parent="projects/lab", page_size=2)
    first = await call(client.sweeps.ListTrainingSweeps, request)
    request.page_token = first.next_page_token
    second = await call(client.sweeps.ListTrainingSweeps, request)
    listed = [*first.sweeps, *second.sweeps]
    assert [sweep.name for sweep in listed] == names[::-1]
    assert not any(sweep.trials for sweep in listed)


@pytest.mark.parametrize(
    "axes",
    [
        [],
        [sweeps_pb2.SweepAxis(key="fake.epochs")],
        [sweeps_pb2.SweepAxis(key="fake.epochs", values_json=["one"])],
        [sweeps_pb2.SweepAxis(key="tail:fake.epochs", values_json=["1"])],
        [sweeps_pb2.SweepAxis(key="fake.epochs", values_json=["1"] * 1001)],
    ],
)
async def test_bad_axes_are_refused(client: Client, axes: list[sweeps_pb2.SweepAxis]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await create(client, axes=axes)
    assert caught.value.reason == "SWEEP_INVALID"


async def test_a_key_that_leads_through_a_number_is_refused(client: Client) -> None:
    axis = sweeps_pb2.SweepAxis(key="data.limit.more", values_json=["1"])
    with pytest.raises(InvalidArgument) as caught:
        await create(client, axes=[axis])
    assert caught.value.reason == "STAGES_INVALID"


async def test_unknown_sweep_is_told(client: Client) -> None:
    with pytest.raises(NotFound) as caught:
        await get(client, "projects/lab/sweeps/none")
    assert caught.value.reason == "SWEEP_NOT_FOUND"
