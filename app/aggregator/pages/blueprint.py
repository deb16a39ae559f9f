"""The one blueprint that all page views hang in, and who may see which of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Blueprint
from flask_login import current_user

from app.aggregator.tables import AccountKind
from app.common.problems import NotAllowed

pages = Blueprint("pages", __name__)

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


def only(
    *kinds: AccountKind,
) -> Callable[[Callable[_Arguments, _Answer]], Callable[_Arguments, _Answer]]:
    """Refuses a page to accounts of other kinds; strangers never get here."""

    def decorate(view: Callable[_Arguments, _Answer]) -> Callable[_Arguments, _Answer]:
        @wraps(view)
        def checked(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
            if current_user.kind not in kinds:
                raise NotAllowed("This page is for another kind of account.")
            return view(*args, **kwargs)

        return checked

    return decorate
