"""Request bodies must keep coming: a client that trickles holds a thread for seconds, not for ever.

gunicorn's threads wait for a body without a limit, so a few clients that announce one and send
three bytes would stop a whole role. Here a body has a grace and then a least average rate; who
falls behind is answered 408, and the connection ends.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from werkzeug.wsgi import ClosingIterator

from app.common.problems import Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

GRACE_SECONDS = 10.0
"""How long the server waits for a body in all, whatever arrives."""

BYTES_PER_SECOND = 2_000.0
"""Every so many bytes that arrived earn another second of waiting."""

# What arrives within one read counts after it: a piece must come within the grace at that rate.
_PIECE_BYTES = 8_192
_LOOK_SECONDS = 0.25


class RequestTimeout(Problem):
    """The body came too slowly, or not at all."""

    slug = "request-timeout"
    title = "The request came too slowly"
    status = 408


class BodyDeadline:
    """WSGI middleware: reading a late body raises RequestTimeout inside `application`.

    It needs the connection that gunicorn hands on; under any other server it changes nothing.
    """

    def __init__(
        self,
        application: WSGIApplication,
        grace_seconds: float = GRACE_SECONDS,
        bytes_per_second: float = BYTES_PER_SECOND,
    ) -> None:
        self._application = application
        self._grace = grace_seconds
        self._rate = bytes_per_second
        self._guard = _Guard()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        connection = environ.get("gunicorn.socket")
        if connection is None:
            return self._application(environ, start_response)
        self._guard.forget(connection)
        if "HTTP_TRANSFER_ENCODING" in environ:
            length = None
        elif environ.get("CONTENT_LENGTH") in (None, "", "0"):
            return self._application(environ, start_response)
        else:
            length = int(environ["CONTENT_LENGTH"])
        body = _TimedBody(environ["wsgi.input"], connection, self._guard, self._grace, self._rate)
        environ["wsgi.input"] = body

        def leave() -> None:
            # gunicorn takes what the application left of a body before the next request, in the
            # same thread: that must not last either.
            if length is None or body.received < length:
                self._guard.expect_by(connection, time.monotonic() + self._grace)

        return ClosingIterator(self._application(environ, start_response), leave)


class _TimedBody(io.RawIOBase):
    """`wsgi.input` that raises RequestTimeout once the time it earned was spent on waiting."""

    def __init__(
        self, body: Any, connection: socket.socket, guard: _Guard, grace: float, rate: float
    ) -> None:
        self._body = body
        self._connection = connection
        self._guard = guard
        self._grace = grace
        self._rate = rate
        self._waited = 0.0
        self.received = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        begun = time.monotonic()
        left = self._grace + self.received / self._rate - self._waited
        if left <= 0:
            raise self._late()
        before = self._connection.gettimeout()
        self._connection.settimeout(left)
        self._guard.expect_by(self._connection, begun + left + _LOOK_SECONDS)
        try:
            data = self._body.read(min(len(buffer), _PIECE_BYTES))
        except Exception as error:
            # The timeout; or what the guard cut off, chunked or under TLS, ends in an error.
            if time.monotonic() < begun + left:
                raise
            raise self._late() from error
        finally:
            self._guard.forget(self._connection)
            with suppress(OSError):  # closed
                self._connection.settimeout(before)
        took = time.monotonic() - begun
        if took >= left:
            raise self._late()
        self._waited += took
        self.received += len(data)
        buffer[: len(data)] = data
        return len(data)

    def _late(self) -> RequestTimeout:
        self._waited = float("inf")
        return RequestTimeout("Send it again over a faster connection.")


class _Guard:
    """Ends the reading side of connections whose time is over, so that a blocked read returns.

    The socket's timeout alone would not do: gunicorn reads again and again until a piece is whole,
    and each byte that trickles in begins the timeout anew.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._deadlines: dict[socket.socket, float] = {}
        self._thread: threading.Thread | None = None

    def expect_by(self, connection: socket.socket, deadline: float) -> None:
        with self._changed:
            if not self._deadlines:
                self._changed.notify()
            self._deadlines[connection] = deadline
            # Not before the first body: gunicorn forks after the application may have been made.
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="bodies", daemon=True)
                self._thread.start()

    def forget(self, connection: socket.socket) -> None:
        with self._changed:
            self._deadlines.pop(connection, None)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for late in [c for c, deadline in self._deadlines.items() if deadline <= now]:
                    del self._deadlines[late]
                    _stop_reading(late)
                self._changed.wait(_LOOK_SECONDS if self._deadlines else None)


def _stop_reading(connection: socket.socket) -> None:
    with suppress(OSError):  # closed already
        # Not the method of an SSLSocket, which would drop its TLS under the thread that reads.
        socket.socket.shutdown(connection, socket.SHUT_RD)
