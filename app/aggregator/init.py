"""Sets role A up, as often as one likes: `python -m app.aggregator.init [--demo-accounts]`.

Makes the secrets (once), publishes the statement key and brings the database up to date. With
`--demo-accounts`, a database without any account gets a patient, a doctor and an operator, whose
generated passwords are printed this once and are stored nowhere.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

from sqlalchemy import func, select

from app.aggregator.accounts.passwords import generated_password
from app.aggregator.accounts.service import create_account
from app.aggregator.factory import create_background_app
from app.aggregator.secrets import AggregatorSecrets
from app.aggregator.tables import Account, AccountKind, db
from app.common.logs import configure_logging
from app.common.migrate import CannotUpgrade, upgrade
from config import AggregatorConfig


@dataclass(frozen=True, slots=True, repr=False)
class DemoAccount:
    """A demonstration account with its password, to be shown once."""

    kind: AccountKind
    login: str
    password: str


def initialise(config: AggregatorConfig) -> None:
    """Secrets, public key and tables; what is there already stays. Raises CannotUpgrade."""
    AggregatorSecrets.create(config)
    upgrade("aggregator", config.database_url)


def make_demo_accounts(config: AggregatorConfig) -> list[DemoAccount]:
    """One account of each kind, or none if the database holds any account."""
    made = []
    with create_background_app(config).app_context():
        if db.session.scalar(select(func.count()).select_from(Account)):
            return []
        for kind in AccountKind:
            password = generated_password()
            account = create_account(None, f"Demo {kind.value}", password, kind)
            made.append(DemoAccount(kind, account.login, password))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description="Set role A up.")
    parser.add_argument(
        "--demo-accounts",
        action="store_true",
        help="make one account of each kind if there is none, and print them",
    )
    arguments = parser.parse_args()
    configure_logging("aggregator")
    config = AggregatorConfig.from_environment()
    try:
        initialise(config)
    except CannotUpgrade as error:
        sys.exit(str(error))
    if arguments.demo_accounts:
        for account in make_demo_accounts(config):
            sys.stdout.write(f"{account.kind.value:8}  {account.login:22}  {account.password}\n")


if __name__ == "__main__":
    main()
