"""`shoal jobs`: what is being done, and what was."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from shoal_cli.commands import Commands
    from shoal_cli.session import Session
    from shoal_client import Job, TrainingJob

_JOB = "its name, or as much of it as tells it from others"


def add_to(commands: "Commands") -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "jobs",
        help="list, show, watch, stop, cancel and retry jobs",
        description="Durable work: videos that are tracked, models that are trained.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    actions.add_parser("list", help="list the jobs, the newest first").set_defaults(run=run_list)
    for name, run, meaning in (
        ("show", run_show, "show one job"),
        ("watch", run_watch, "follow a job to its end"),
        ("stop", run_stop, "let training finish now, with the best model so far"),
        ("cancel", run_cancel, "end a job; what is committed stays"),
        ("retry", run_retry, "queue a job again that failed or was cancelled"),
    ):
        action = actions.add_parser(name, help=meaning)
        action.add_argument("job", metavar="JOB", help=_JOB)
        action.set_defaults(run=run)
    logs = actions.add_parser("logs", help="print what the trainer of a job has written")
    logs.add_argument("job", metavar="JOB", help=_JOB)
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the job has ended")
    logs.set_defaults(run=run_logs)


def run_list(arguments: argparse.Namespace) -> int:
    """Lists; returns the exit status."""
    from shoal_cli.jobs_text import HEADER, job_row
    from shoal_cli.table import table_text

    with _session(arguments) as session:
        jobs = session.patiently(lambda: list(session.shoal.jobs.list()))
    if not jobs:
        print("no jobs; `shoal track` and `shoal train` make them")
        return 0
    print(table_text(HEADER, map(job_row, jobs)))
    return 0


def run_show(arguments: argparse.Namespace) -> int:
    """Shows; returns the exit status."""
    from shoal_cli.jobs_text import job_lines

    with _session(arguments) as session:
        name = _name(arguments, session)
        job = session.patiently(lambda: session.shoal.jobs.get(name))
    print(*job_lines(job), sep="\n")
    return 0


def run_watch(arguments: argparse.Namespace) -> int:
    """Follows; returns 0 if the job succeeded, 1 otherwise."""
    from shoal_cli.job_watch import watch_job

    with _session(arguments) as session:
        return watch_job(session, _name(arguments, session))


def run_stop(arguments: argparse.Namespace) -> int:
    """Stops; returns the exit status."""
    from shoal_cli.jobs_text import job_id

    with _session(arguments) as session:
        job = session.shoal.training.stop(_name(arguments, session))
    print(f"{job_id(job.name)} finishes; its best model so far is kept")
    return 0


def run_cancel(arguments: argparse.Namespace) -> int:
    """Cancels; returns the exit status."""
    with _session(arguments) as session:
        _print_state(session.shoal.jobs.cancel(_name(arguments, session)))
    return 0


def run_retry(arguments: argparse.Namespace) -> int:
    """Queues again; returns the exit status."""
    from shoal_cli import messages

    with _session(arguments) as session:
        _print_state(session.shoal.jobs.retry(_name(arguments, session)))
        if session.is_embedded:
            messages.warning("nobody works on it until an ensemble runs; `shoal up` starts one")
    return 0


def run_logs(arguments: argparse.Namespace) -> int:
    """Prints; returns the exit status."""
    from shoal_cli.job_watch import log_lines

    with _session(arguments) as session:
        name = _name(arguments, session)
        for line in log_lines(session, name, follow=arguments.follow):
            print(line, flush=arguments.follow)
    return 0


def _session(arguments: argparse.Namespace) -> "AbstractContextManager[Session]":
    from shoal_cli.ensemble.home import current_home
    from shoal_cli.ensemble.services import LEDGER_SERVICES
    from shoal_cli.progress import standard_progress
    from shoal_cli.session import session

    return session(current_home(), LEDGER_SERVICES, arguments.command_line, standard_progress())


def _name(arguments: argparse.Namespace, session: "Session") -> str:
    from shoal_cli.jobs_text import full_name

    session.progress.close()
    return session.patiently(lambda: full_name(arguments.job, session.shoal.jobs.list()))


def _print_state(job: "Job | TrainingJob") -> None:
    from shoal_cli.jobs_text import job_id

    print(f"{job_id(job.name)} {job.state.value}")
