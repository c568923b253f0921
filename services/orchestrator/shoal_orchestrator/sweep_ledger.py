"""Sweeps in the ledger: each method is one transaction, done or not done."""

from sqlalchemy import RowMapping, select

from shoal_core.errors import NotFound
from shoal_orchestrator.clock import Clock
from shoal_orchestrator.ledger import Ledger
from shoal_orchestrator.schema import SWEEPS
from shoal_orchestrator.training_records import Sweep


class SweepLedger:
    """Sweeps, in the database of a `Ledger`; their jobs are jobs as all others."""

    def __init__(self, ledger: Ledger, *, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def put(self, name: str, project: str, document: bytes) -> None:
        """Adds a sweep unless there is one of that name, which then says the same."""
        async with self._ledger.write() as connection:
            query = select(SWEEPS.c.sequence).where(SWEEPS.c.name == name)
            if (await connection.execute(query)).first() is None:
                await connection.execute(
                    SWEEPS.insert().values(
                        name=name,
                        project=project,
                        document=document,
                        create_time_us=self._clock.utc_us(),
                    )
                )

    async def get(self, name: str) -> Sweep:
        """Returns a sweep.

        Raises:
            NotFound: SWEEP_NOT_FOUND.
        """
        async with self._ledger.read() as connection:
            query = select(SWEEPS).where(SWEEPS.c.name == name)
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            raise NotFound(
                "SWEEP_NOT_FOUND",
                f"There is no sweep {name}; list the sweeps to see what there is.",
                sweep=name,
            )
        return _sweep(row)

    async def page(self, project: str, *, before: int | None, limit: int) -> list[Sweep]:
        """Returns a project's sweeps, the newest first, from those older than `before` on."""
        query = select(SWEEPS).where(SWEEPS.c.project == project)
        if before is not None:
            query = query.where(SWEEPS.c.sequence < before)
        async with self._ledger.read() as connection:
            rows = await connection.execute(query.order_by(SWEEPS.c.sequence.desc()).limit(limit))
            return [_sweep(row) for row in rows.mappings()]


def _sweep(row: RowMapping) -> Sweep:
    return Sweep(
        name=row["name"],
        sequence=row["sequence"],
        document=row["document"],
        create_time_us=row["create_time_us"],
    )
