"""Backups of the embedded default: `python -m deploy.local.backup create|restore FOLDER`.

`create` may run beside the system: both databases are copied while neither can change, so that
they are of one moment. `restore` needs the system stopped and a home without databases. The home is
HUSHBEAT_HOME, as for `make run`. The folder holds every secret of every role: keep it as such.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import sys
from contextlib import ExitStack, closing
from pathlib import Path

from app.common.secret_files import private_folder
from config import AggregatorConfig

DATABASES = ("aggregator/aggregator.sqlite3", "keyholder/keyholder.sqlite3")
FOLDERS = (
    "public",
    "blobs",
    "tls",
    "aggregator/secrets",
    "keyholder/secrets",
    "inference/secrets",
)
_BUSY_SECONDS = 30


class CannotBackUp(Exception):
    """The message says what stands in the way."""


def create(home: Path, folder: Path) -> None:
    """Copies everything that cannot be made anew from `home` into a new `folder`, mode 0700.

    Raises CannotBackUp.
    """
    if folder.exists():
        raise CannotBackUp(f"{folder} is there already: name a new folder.")
    for name in DATABASES:
        if not (home / name).exists():
            raise CannotBackUp(f"There is no {home / name}: is this the home?")
    private_folder(folder)
    with ExitStack() as held:
        for name in DATABASES:
            connection = sqlite3.connect(home / name, timeout=_BUSY_SECONDS, isolation_level=None)
            held.enter_context(closing(connection))
            connection.execute("BEGIN IMMEDIATE")
        for name in DATABASES:
            private_folder((folder / name).parent)
            _copy_database(home / name, folder / name)
        _copy_folders(home, folder)


def restore(folder: Path, home: Path) -> None:
    """Puts a backup into a home that has no databases. Raises CannotBackUp."""
    for name in DATABASES:
        if (home / name).exists():
            raise CannotBackUp(f"{home / name} is there: stop the system and move it away first.")
        if not (folder / name).exists():
            raise CannotBackUp(f"There is no {folder / name}: is this a backup?")
    for name in DATABASES:
        private_folder((home / name).parent)
        _copy_database(folder / name, home / name)
    _copy_folders(folder, home)


def _copy_database(source: Path, target: Path) -> None:
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(source)) as held, closing(sqlite3.connect(target)) as copied:
        held.backup(copied)


def _copy_folders(source: Path, target: Path) -> None:
    for name in FOLDERS:
        if (source / name).exists():
            shutil.rmtree(target / name, ignore_errors=True)
            shutil.copytree(source / name, target / name)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.local.backup", description=__doc__)
    parser.add_argument("command", choices=("create", "restore"))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    home = AggregatorConfig.from_environment().home
    try:
        if options.command == "create":
            create(home, options.folder)
        else:
            restore(options.folder, home)
    except CannotBackUp as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
