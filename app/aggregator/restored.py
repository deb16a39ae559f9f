"""After role A's database was restored from a backup: `python -m app.aggregator.restored`.

Run it before anything of role A starts again. A batch's number, used for a second request, would
show the key holder how two masks differ, and which ones were used since the backup nobody knows
here. So every session of comparisons ends, what was reserved and not sent is given up, and what was
sent is sent again as it was. Then the key holder's operator rotates the key
(`python -m app.keyholder.keys rotate`): days whose numbers run ahead there go on under the new one.
"""

from __future__ import annotations

import sys

from sqlalchemy import Engine, create_engine, delete, exists, update

from app.aggregator.tables import (
    Comparison,
    ComparisonBatch,
    ComparisonSession,
    KeyMove,
    Range,
    Tally,
)
from app.common.database import driver_url
from config import AggregatorConfig


def begin(engine: Engine) -> None:
    """As the module says, in one transaction."""
    unsent = ComparisonBatch.request.is_(None) & ~ComparisonBatch.settled
    with engine.begin() as connection:
        connection.execute(update(ComparisonSession).values(ended=True))
        for table in (Comparison, Range):
            reserved = exists().where(
                ComparisonBatch.session == table.session,
                ComparisonBatch.number == table.batch,
                unsent,
            )
            connection.execute(update(table).where(reserved).values(session=None, batch=None))
        connection.execute(delete(ComparisonBatch).where(unsent))
        given_up = exists().where(KeyMove.request.is_(None))
        connection.execute(update(Tally).where(given_up).values(moving=False))
        connection.execute(delete(KeyMove).where(KeyMove.request.is_(None)))


def main() -> None:
    engine = create_engine(driver_url(AggregatorConfig.from_environment().database_url))
    try:
        begin(engine)
    finally:
        engine.dispose()
    sys.stdout.write("Done. Start role A, and ask the key holder's operator to rotate the key.\n")


if __name__ == "__main__":
    main()
