"""`python -m app.keyholder.log verify` and `... show [PSEUDONYM]`.

`verify` ends with exit status 1 and the first thing that does not fit.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from app.common.database import driver_url
from app.keyholder.log.audit import LogBroken, check, entries
from config import KeyholderConfig
from crypto.messages import LogEntry


def main() -> int:
    options = _parser().parse_args()
    engine = create_engine(driver_url(KeyholderConfig.from_environment().database_url))
    try:
        with Session(engine) as session:
            if options.command == "verify":
                return _verify(session)
            for entry in entries(session, options.pseudonym):
                sys.stdout.write(_line(entry) + "\n")
            return 0
    finally:
        engine.dispose()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app.keyholder.log", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("verify", help="check the chain, and the keys and grants against it")
    show = commands.add_parser("show", help="list the entries")
    show.add_argument("pseudonym", nargs="?", help="of this collector only")
    return parser


def _verify(session: Session) -> int:
    try:
        count = check(session)
    except LogBroken as broken:
        sys.stdout.write(f"The log is broken: {broken}.\n")
        return 1
    sys.stdout.write(f"{count} entries, whole; they explain every key and grant in force.\n")
    return 0


def _line(entry: LogEntry) -> str:
    at = datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="seconds")
    size = f"  {entry.cells} cells, {entry.recordings} recordings" if entry.cells else ""
    return (
        f"{entry.seq:>8}  {at}  {entry.pseudonym}  {entry.kind.value:<20} {entry.subject}"
        f"  by {entry.actor} ({entry.thumbprint}){size}"
    )


if __name__ == "__main__":
    sys.exit(main())
