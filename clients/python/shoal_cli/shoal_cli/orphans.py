"""Jobs that a killed command has left running."""

from shoal_cli.session import Session


def end_orphans(session: Session) -> None:
    """Cancels them where the ensemble is this command's own; their own commands resume them.

    Nobody else's worker is alive on this home, so nobody else's job is.
    """
    if not session.is_embedded:
        return
    for job in session.patiently(lambda: list(session.shoal.jobs.list())):
        if not job.state.has_ended:
            _cancel(session, job.name)


def _cancel(session: Session, name: str) -> None:
    session.patiently(lambda: session.shoal.jobs.cancel(name))
