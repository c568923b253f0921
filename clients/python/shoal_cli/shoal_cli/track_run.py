"""Carries a plan out: the model, one job per video, the files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from shoal_cli import messages
from shoal_cli.files import write_whole
from shoal_cli.interruption import Interrupted
from shoal_cli.orphans import end_orphans
from shoal_cli.saved_settings import saved_settings
from shoal_cli.session import Session
from shoal_cli.track_plan import Output, TrackPlan
from shoal_client import ExportSummary, Job, JobState, LabelSet
from shoal_core.errors import (
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    OutOfRange,
    Unavailable,
)
from shoal_core.frame_runs import runs_text
from shoal_core.video_path import video_file_name


@dataclass(frozen=True)
class Tracked:
    """What a command has made."""

    jobs: tuple[Job, ...]
    """One per video."""
    instance_count: int
    """In the files; linking may keep fewer than were inferred."""


class TrackRun:
    """One command on its way."""

    def __init__(self, plan: TrackPlan, session: Session) -> None:
        self._plan = plan
        self._session = session
        self._shoal = session.shoal
        self._ensemble = session.ensemble
        self._progress = session.progress
        self._is_embedded = session.is_embedded
        self._home = session.home
        self._patiently = session.patiently
        self._jobs: dict[Path, Job] = {}

    def run(self) -> Tracked:
        """Tracks every video and writes the files.

        A command that is interrupted or fails leaves no job running; what was committed stays.

        Raises:
            FailedPrecondition: NO_FRAME_PROCESSED.
            InvalidArgument: VIDEO_REPEATED when videos of one file have the same content.
            ShoalError: whatever made a job fail.
        """
        end_orphans(self._session)
        self._progress.step("importing the model")
        model = self._patiently(lambda: self._plan.model.resolve(self._shoal))
        centroids = self._centroid_label_sets()
        try:
            self._create_all(model, centroids)
            self._save_config()
            for video in self._plan.videos:
                self._watch(video)
                self._progress.close()
                _check_result(self._jobs[video], has_all_frames=self._plan.centroids is None)
            instance_count = self._write()
        except KeyboardInterrupt as error:
            self._cancel()
            raise self._interruption(error) from error
        except BaseException:
            self._cancel()
            raise
        return Tracked(tuple(self._jobs.values()), instance_count)

    def _create_all(self, model: str, centroids: Mapping[Path, str]) -> None:
        for video in self._plan.videos:
            self._progress.step(f"opening {video.name}")
            self._jobs[video] = self._create(video, model, centroids.get(video, ""))
            self._progress.close()
            _check_video(video, self._jobs[video])
        for output in self._plan.outputs:
            _check_different({video: self._jobs[video] for video in output.videos})

    def _save_config(self) -> None:
        if self._plan.save_config is None:
            return
        documents = [
            self._patiently(partial(self._shoal.jobs.settings, job.name))
            for job in self._jobs.values()
        ]
        settings = saved_settings(documents, self._plan.settings)
        write_whole(self._plan.save_config, settings.to_json())

    def _create(self, video: Path, model: str, centroids: str) -> Job:
        settings = self._plan.settings
        try:
            return self._patiently(
                lambda: self._shoal.jobs.create_track(
                    str(video),
                    model,
                    model_content_hash=settings.model_content_hash or "",
                    frames=self._plan.frames[video],
                    inference=settings.inference,
                    tracker=settings.tracker,
                    centroids_label_set=centroids,
                )
            )
        except OutOfRange as error:
            frame_count = error.metadata.get("frame_count")
            if error.reason != "FRAME_OUT_OF_RANGE" or frame_count is None:
                raise
            asked = runs_text([range(int(error.metadata["start"]), int(error.metadata["stop"]))])
            where = "--labels" if settings.only else "--frames"
            raise OutOfRange(
                error.reason,
                f"{video} has the frames 0-{int(frame_count) - 1}, not {asked} of {where}; choose "
                "among them.",
                **error.metadata,
            ) from error
        except InvalidArgument as error:
            if error.reason != "CENTROIDS_MISSING":
                raise
            raise InvalidArgument(
                error.reason,
                f"The model {model} has to be told where the animals are; add the centroid model "
                "with a second -m, or --centroids LABELS.slp.",
                model=model,
            ) from error

    def _watch(self, video: Path) -> None:
        """Returns when the job of a video has succeeded."""
        self._patiently(lambda: self._follow(video))
        job = self._jobs[video]
        match job.state:
            case JobState.SUCCEEDED:
                return
            case JobState.CANCELLED:
                raise Cancelled("JOB_CANCELLED", f"The job of {video} was cancelled elsewhere.")
            case _:
                raise job.error or Internal("JOB_FAILED", f"The job of {video} failed silently.")

    def _follow(self, video: Path) -> None:
        """Returns when the job of a video has ended."""
        for job in self._shoal.jobs.watch(self._jobs[video].name):
            self._jobs[video] = job
            self._patiently.answered()
            self._ensemble.check()
            self._show(job)

    def _show(self, job: Job) -> None:
        if self._home is not None and self._home.is_full:
            self._progress.step(f"paused: the disk of {self._home.folder} is full; make room")
            return
        progress = job.progress
        frame_count = progress.inferred_frame_count
        if frame_count < progress.total_frame_count or not self._plan.settings.tracker:
            self._progress.step("tracking" if self._plan.settings.tracker else "inferring")
            frame_counts = [each.progress.inferred_frame_count for each in self._jobs.values()]
        else:
            self._progress.step("linking")
            frame_counts = [each.progress.linked_frame_count for each in self._jobs.values()]
        total = sum(each.progress.total_frame_count for each in self._jobs.values())
        self._progress.update(sum(frame_counts), total)

    def _cancel(self) -> None:
        try:
            for job in self._jobs.values():
                if not job.state.has_ended:
                    self._shoal.jobs.cancel(job.name)
        except (Unavailable, DeadlineExceeded, Cancelled) as error:
            # What ends the command is what it says. An embedded ensemble ends with it.
            if not self._is_embedded:
                messages.warning(f"the job could not be stopped and goes on: {error.message}")

    def _interruption(self, error: KeyboardInterrupt) -> Interrupted:
        committed = sum(job.progress.committed_frame_count for job in self._jobs.values())
        total = sum(job.progress.total_frame_count for job in self._jobs.values())
        message = f"interrupted; {committed} of {total} frames are kept, the same command goes on"
        return (
            Interrupted(message, error.signal_number)
            if isinstance(error, Interrupted)
            else Interrupted(message)
        )

    def _centroid_label_sets(self) -> dict[Path, str]:
        if self._plan.centroids is None:
            return {}
        if isinstance(self._plan.centroids, str):
            return dict.fromkeys(self._plan.videos, self._plan.centroids)
        self._progress.step("reading the centroids")
        centroids = str(self._plan.centroids)
        label_sets = self._patiently(lambda: self._shoal.labels.import_(centroids))
        return {video: _of_video(video, label_sets, self._plan) for video in self._plan.videos}

    def _write(self) -> int:
        """Writes the files; returns how many instances they hold."""
        self._progress.step("writing")
        instance_count = 0
        for output in self._plan.outputs:
            output.path.parent.mkdir(exist_ok=True)
            written = self._patiently(partial(self._export, output))
            instance_count += written.instance_count
        return instance_count

    def _export(self, output: Output) -> ExportSummary:
        jobs = [self._jobs[video] for video in output.videos]
        overflow_frame_count = sum(job.progress.overflow_frame_count for job in jobs)
        return self._shoal.labels.export(
            [job.result_label_set for job in jobs],
            str(output.path),
            # A job that was done before may know its video under another name.
            video_uris=[str(video) for video in output.videos],
            provenance={"overflow_frame_count": overflow_frame_count},
        )


def _of_video(video: Path, label_sets: Sequence[LabelSet], plan: TrackPlan) -> str:
    """Returns the label set of a video, found by file name: folders differ between machines."""
    name = video_file_name(str(video))
    matching = [
        label_set for label_set in label_sets if video_file_name(label_set.video.uri) == name
    ]
    if len(matching) != 1:
        names = ", ".join(video_file_name(label_set.video.uri) for label_set in label_sets)
        raise NotFound(
            "CENTROIDS_MISSING",
            f"{plan.centroids} labels {len(matching)} videos named {name}, expected one; "
            f"it has {names}.",
        )
    return matching[0].name


def _check_video(video: Path, job: Job) -> None:
    """Warns of a video whose end is missing."""
    missing = job.video.missing_frame_count
    if missing == 0:
        return
    lost = "an unknown number of frames" if missing is None else f"{missing} frames"
    messages.warning(
        f"{video} is cut off: {lost} at its end cannot be read, only the first "
        f"{job.video.frame_count} can; copy it again."
    )


def _check_different(jobs: Mapping[Path, Job]) -> None:
    videos = {job.name: video for video, job in jobs.items()}
    for video, job in jobs.items():
        if videos[job.name] != video:
            raise InvalidArgument(
                "VIDEO_REPEATED",
                f"{video} and {videos[job.name]} are the same video; give one of them.",
            )


def _check_result(job: Job, *, has_all_frames: bool) -> None:
    """Warns of a result that lacks animals or frames; one without frames is an error."""
    if job.progress.committed_frame_count == 0:
        raise FailedPrecondition(
            "NO_FRAME_PROCESSED",
            f"No frame of {job.video.uri} was processed; check the video and --frames.",
        )
    if job.progress.overflow_frame_count:
        messages.warning(
            f"in {job.progress.overflow_frame_count} of {job.progress.committed_frame_count} "
            f"frames of {job.video.uri} the model found more than it can return, so that some is "
            "missing; a higher --peak-threshold finds less."
        )
    unread = job.progress.total_frame_count - job.progress.committed_frame_count
    if has_all_frames and unread:
        messages.warning(
            f"{unread} of {job.progress.total_frame_count} frames of {job.video.uri} are damaged "
            "or missing and have no poses; the others have theirs."
        )
    if job.progress.instance_count == 0:
        messages.warning(
            f"no animal was found in {job.progress.committed_frame_count} frames of "
            f"{job.video.uri}; is it the right model? A lower --peak-threshold finds more."
        )
