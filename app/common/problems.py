"""Errors as RFC 9457 problem details: one small class a cause, one place that answers with them."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import ClassVar

from flask import Flask, Response, jsonify
from sqlalchemy.exc import OperationalError, TimeoutError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from crypto import errors as crypto_errors

_log = logging.getLogger(__name__)


class Problem(Exception):
    """A request that is refused, and why.

    Subclasses set `slug`, `title` and `status`; `detail` says what was wrong with this request and
    what to do. `members` become further members of the JSON object (RFC 9457, section 3.2). None of
    them may hold anything secret.
    """

    slug: ClassVar[str] = "invalid-request"
    title: ClassVar[str] = "The request is not valid"
    status: ClassVar[int] = 400
    retry_after: ClassVar[int | None] = None

    def __init__(self, detail: str = "", **members: str | int) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members = members


class InvalidRequest(Problem):
    """The body or an argument is not what the protocol prescribes."""


class NotAuthenticated(Problem):
    """The caller did not prove who it is."""

    slug = "not-authenticated"
    title = "The caller did not prove who it is"
    status = 401


class NotAllowed(Problem):
    """The caller is known and has no right to this."""

    slug = "not-allowed"
    title = "This is not yours to do"
    status = 403


class NotFound(Problem):
    """There is no such thing, or none that the caller may know of."""

    slug = "not-found"
    title = "There is no such thing"
    status = 404


class DatabaseUnavailable(Problem):
    """The database does not answer or is busy; nothing was changed."""

    slug = "database-unavailable"
    title = "The database is not available"
    status = 503
    retry_after = 5


class _Unexpected(Problem):
    slug = "internal-error"
    title = "Something went wrong here"
    status = 500


# Which crypto errors blame the form of a message (400); every other one blames its content (422).
_MALFORMED = (crypto_errors.InvalidEncoding, crypto_errors.WrongType)


def register_problem_handlers(
    app: Flask,
    wants_html: Callable[[], bool] | None = None,
    render: Callable[[Problem], str] | None = None,
) -> None:
    """Answers every error of `app` with problem details, or with a page where one is wanted.

    Args:
        wants_html: whether the current request is answered with a page; never by default.
        render: the page for a problem.
    """

    def respond(problem: Problem) -> Response:
        if wants_html is not None and render is not None and wants_html():
            response = Response(render(problem), mimetype="text/html")
        else:
            response = jsonify(
                {
                    **problem.members,
                    "type": f"urn:hushbeat:problem:{problem.slug}",
                    "title": problem.title,
                    "status": problem.status,
                    "detail": problem.detail,
                }
            )
            response.mimetype = "application/problem+json"
        response.status_code = problem.status
        if problem.retry_after is not None:
            response.headers["Retry-After"] = str(problem.retry_after)
        return response

    def on_http_error(error: HTTPException) -> AnyResponse | HTTPException:
        if error.response is not None or error.code is None or error.code < 400:
            return error
        response = respond(_from_http(error))
        for name, value in error.get_headers():
            if name.lower() not in ("content-type", "content-length"):
                response.headers[name] = value
        return response

    def on_database_error(error: Exception) -> Response:
        _log.error("the database failed", exc_info=error)
        return respond(DatabaseUnavailable("Try again in a few seconds."))

    def on_unexpected(error: Exception) -> Response:
        _log.error("a request failed", exc_info=error)
        return respond(_Unexpected("The request was not carried out; the operator's log has more."))

    app.register_error_handler(Problem, respond)
    app.register_error_handler(
        crypto_errors.CryptoError, lambda error: respond(problem_from_crypto(error))
    )
    app.register_error_handler(HTTPException, on_http_error)
    app.register_error_handler(OperationalError, on_database_error)
    app.register_error_handler(TimeoutError, on_database_error)
    app.register_error_handler(Exception, on_unexpected)


def problem_from_crypto(error: crypto_errors.CryptoError) -> Problem:
    """The problem that a caller sees for something that `crypto` refused; its slug is the class."""
    name = type(error).__name__
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()
    status = 400 if isinstance(error, _MALFORMED) else 422
    return _make(words.replace(" ", "-"), words.capitalize(), status)(str(error))


def _from_http(error: HTTPException) -> Problem:
    status = error.code or 500
    title = error.name
    slug = re.sub(r"[^a-z]+", "-", title.lower()).strip("-")
    return _make(slug, title, status)(error.description or "")


def _make(slug: str, title: str, status: int) -> type[Problem]:
    return type("_NamedProblem", (Problem,), {"slug": slug, "title": title, "status": status})
