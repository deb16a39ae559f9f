"""`python -m app.keyholder.keys list | new | rotate | verify | prune KEY_ID`.

A running key holder sees every change with the next request; nothing is restarted.
"""

from __future__ import annotations

import argparse
import sys

from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session

from app.common.database import driver_url
from app.common.secret_files import SecretFileError
from app.keyholder.keys.bundle import KeyholderKeys, passphrase
from app.keyholder.keys.paillier import KeyFile, add_pending, list_keys, remove_retired, rotate
from app.keyholder.tables import ServedTally
from config import KeyholderConfig
from crypto.errors import KeyFileError


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    config = KeyholderConfig.from_environment()
    try:
        _COMMANDS[options.command](config, options)
    except (KeyFileError, SecretFileError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app.keyholder.keys", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the Paillier keys, their states, and what is left under each")
    commands.add_parser("new", help="make and publish a pending key, unless there is one")
    commands.add_parser(
        "rotate", help="activate the pending key (made if there is none), retire the active one"
    )
    commands.add_parser("verify", help="load every key and let it decrypt what it encrypts")
    prune = commands.add_parser("prune", help="delete a retired key under which nothing is left")
    prune.add_argument("key_id")
    prune.add_argument(
        "--lose", action="store_true", help="although tallies are left that nobody can open then"
    )
    return parser


def _list(config: KeyholderConfig, _: argparse.Namespace) -> None:
    for one in list_keys(config.secrets, passphrase(config.secrets)):
        _write(_line(one) + f"  {_left(config, one.key_id)} tallies")


def _new(config: KeyholderConfig, _: argparse.Namespace) -> None:
    _write(_line(add_pending(config.secrets, passphrase(config.secrets))))


def _rotate(config: KeyholderConfig, _: argparse.Namespace) -> None:
    old, new = rotate(config.secrets, passphrase(config.secrets))
    _write(f"{new.key_id} is active, {old.key_id} retired.")
    _write("The aggregator now moves what is under it; its operator's page shows how much is left.")


def _verify(config: KeyholderConfig, _: argparse.Namespace) -> None:
    keys = KeyholderKeys.load(config.secrets)
    keys.self_test()
    _write(f"{len(keys.all_paillier)} Paillier keys, all whole.")


def _prune(config: KeyholderConfig, options: argparse.Namespace) -> None:
    left = _left(config, options.key_id)
    if left and not options.lose:
        raise KeyFileError(
            f"{left} tallies are still under this key: wait until the aggregator has moved them"
        )
    remove_retired(config.secrets, passphrase(config.secrets), options.key_id)
    _write(f"{options.key_id} is deleted here. Delete it in your backups as well.")


def _left(config: KeyholderConfig, key_id: str) -> int:
    """How many patients' days were compared under a key and not moved to another one."""
    engine = create_engine(driver_url(config.database_url))
    try:
        with Session(engine) as session:
            return session.scalars(
                select(func.count()).where(
                    ServedTally.key_id == key_id, ServedTally.moved_by.is_(None)
                )
            ).one()
    finally:
        engine.dispose()


def _line(one: KeyFile) -> str:
    return f"{one.key_id}  {one.state.value:<8}"


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")


_COMMANDS = {"list": _list, "new": _new, "rotate": _rotate, "verify": _verify, "prune": _prune}


if __name__ == "__main__":
    sys.exit(main())
