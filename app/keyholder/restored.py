"""After role B's database was restored from a backup: `python -m app.keyholder.restored`.

Run it before the key holder starts again. B has forgotten numbers that it served since the backup,
and a number that is served twice would put one mask under two contributions. So nothing more is
compared under the keys of before: every session of comparisons ends, the Paillier key is rotated,
and until `--end` B moves a tally to the new key with the number that the aggregator knows, also
where it remembers less. `--end` once the aggregator's operator sees that nothing is left to move.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from sqlalchemy import create_engine, update

from app.common.database import driver_url
from app.common.secret_files import read_or_create
from app.keyholder.keys.bundle import passphrase
from app.keyholder.keys.paillier import rotate
from app.keyholder.tables import ComparisonSession
from config import KeyholderConfig

_MARK = "restored"


def is_restored(folder: Path) -> bool:
    """Whether B, whose keys are in `folder`, remembers less than it has served."""
    return (folder / _MARK).exists()


def begin(config: KeyholderConfig) -> str:
    """Returns the id of the new active key."""
    read_or_create(config.secrets / _MARK, lambda: b"\n")
    engine = create_engine(driver_url(config.database_url))
    try:
        with engine.begin() as connection:
            connection.execute(
                update(ComparisonSession)
                .where(ComparisonSession.ended_at.is_(None))
                .values(ended_at=int(time.time()))
            )
    finally:
        engine.dispose()
    return rotate(config.secrets, passphrase(config.secrets))[1].key_id


def end(config: KeyholderConfig) -> None:
    """B remembers everything again."""
    (config.secrets / _MARK).unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m app.keyholder.restored", description=__doc__)
    parser.add_argument("--end", action="store_true", help="nothing is left to move")
    config = KeyholderConfig.from_environment()
    if parser.parse_args(arguments).end:
        end(config)
        sys.stdout.write("Over.\n")
        return
    sys.stdout.write(f"{begin(config)} is the active key. Start the key holder.\n")


if __name__ == "__main__":
    main()
