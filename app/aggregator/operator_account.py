"""Makes an operator: `python -m app.aggregator.operator_account LOGIN`.

Operators do not register themselves. The generated password is printed this once.
"""

from __future__ import annotations

import argparse
import re
import sys

from sqlalchemy.exc import IntegrityError

from app.aggregator.accounts.passwords import generated_password
from app.aggregator.accounts.service import create_account
from app.aggregator.factory import create_background_app
from app.aggregator.tables import AccountKind
from config import AggregatorConfig

_LOGIN = re.compile(r"[a-z][a-z0-9-]{2,63}")


class OperatorNotMade(Exception):
    """The login cannot be used; the message says why."""


def make_operator(config: AggregatorConfig, login: str) -> str:
    """A new operator's generated password.

    Raises OperatorNotMade: the login is taken, or not 3 to 64 of a-z, 0-9 and hyphens.
    """
    if not _LOGIN.fullmatch(login):
        raise OperatorNotMade("A login has 3 to 64 of a-z, 0-9 and -, and begins with a letter.")
    password = generated_password()
    with create_background_app(config).app_context():
        try:
            create_account(login, login, password, AccountKind.OPERATOR)
        except IntegrityError:
            raise OperatorNotMade(f"There is an account {login!r} already.") from None
    return password


def main() -> None:
    parser = argparse.ArgumentParser(description="Make an operator.")
    parser.add_argument("login", metavar="LOGIN")
    login = parser.parse_args().login
    try:
        password = make_operator(AggregatorConfig.from_environment(), login)
    except OperatorNotMade as error:
        sys.exit(str(error))
    sys.stdout.write(f"{login}  {password}\n")


if __name__ == "__main__":
    main()
