"""`shoal.jobs.v1.TrainingSweepsService`: training jobs that are compared."""

from google.protobuf.timestamp_pb2 import Timestamp

from shoal.jobs.v1 import sweeps_pb2 as pb
from shoal.jobs.v1 import sweeps_pb2_grpc
from shoal_common import names, paging
from shoal_common.handlers import Context
from shoal_orchestrator import convert, convert_training, sweep_plan, training_jobs
from shoal_orchestrator.dispatcher import Dispatcher
from shoal_orchestrator.peers import TrainingLabels
from shoal_orchestrator.states import JobState
from shoal_orchestrator.sweep_ledger import SweepLedger
from shoal_orchestrator.training_records import Sweep

_SWEEP_NAME = "projects/{project}/sweeps/{sweep}"


class TrainingSweepsService(sweeps_pb2_grpc.TrainingSweepsServiceServicer):
    """Creates sweeps and tells what their jobs have achieved."""

    def __init__(
        self, *, dispatcher: Dispatcher, ledger: SweepLedger, training_labels: TrainingLabels | None
    ) -> None:
        self._dispatcher = dispatcher
        self._ledger = ledger
        self._training_labels = training_labels

    async def CreateTrainingSweep(
        self, request: pb.CreateTrainingSweepRequest, context: Context
    ) -> pb.CreateTrainingSweepResponse:
        """See the proto."""
        project = convert.project(request.parent)
        trials = sweep_plan.combinations(request.axes)
        base = await training_jobs.resolve(request.base, self._training_labels)
        specs = [sweep_plan.trial_spec(base, request.axes, values) for values in trials]
        jobs = [training_jobs.new_training_job(project, spec) for spec in specs]
        sweep = sweep_plan.new_sweep(project, request, trials, jobs)
        for job in jobs:
            await self._dispatcher.submit(job)
        await self._ledger.put(sweep.name, project, sweep.SerializeToString())
        return pb.CreateTrainingSweepResponse(sweep=await self._current(sweep.name))

    async def GetTrainingSweep(
        self, request: pb.GetTrainingSweepRequest, context: Context
    ) -> pb.GetTrainingSweepResponse:
        """See the proto."""
        names.parse(_SWEEP_NAME, request.name)
        return pb.GetTrainingSweepResponse(sweep=await self._current(request.name))

    async def ListTrainingSweeps(
        self, request: pb.ListTrainingSweepsRequest, context: Context
    ) -> pb.ListTrainingSweepsResponse:
        """See the proto."""
        size = paging.page_size(request.page_size, default=100, limit=1000)
        before = paging.decode_number_token(request.page_token)
        found = await self._ledger.page(
            convert.project(request.parent), before=before, limit=size + 1
        )
        page, has_more = found[:size], len(found) > size
        sweeps = list(map(_message, page))
        for sweep in sweeps:
            sweep.ClearField("trials")
        return pb.ListTrainingSweepsResponse(
            sweeps=sweeps,
            next_page_token=paging.encode_token(str(page[-1].sequence)) if has_more else "",
        )

    async def _current(self, name: str) -> pb.TrainingSweep:
        sweep = _message(await self._ledger.get(name))
        succeeded = []
        for trial in sweep.trials:
            job = await self._dispatcher.job(trial.job)
            trial.state = convert.job_state(job.state)
            metrics = convert_training.metrics(job.trainings, sweep.stage)
            if metrics is not None:
                trial.metrics.CopyFrom(metrics)
                if sweep.metric in metrics.values:
                    trial.metric_value = metrics.values[sweep.metric]
            succeeded.append(job.state is JobState.SUCCEEDED)
        best = sweep_plan.best_trial(sweep, succeeded)
        if best is not None:
            sweep.best_trial_index = best
        return sweep


def _message(value: Sweep) -> pb.TrainingSweep:
    message = pb.TrainingSweep.FromString(value.document)
    time = Timestamp()
    time.FromMicroseconds(value.create_time_us)
    message.create_time.CopyFrom(time)
    return message
