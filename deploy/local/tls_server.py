"""Settings of gunicorn under TLS: a handshake that does not end must not keep its thread."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Callable

HANDSHAKE_SECONDS = 10.0


class HastySocket(ssl.SSLSocket):
    """A connection whose handshake has a deadline; gunicorn would wait for ever."""

    def do_handshake(self, block: bool = False) -> None:
        self.settimeout(HANDSHAKE_SECONDS)
        try:
            super().do_handshake(block)
        except TimeoutError:
            # What gunicorn takes for a client that went away.
            raise ConnectionResetError(errno.ECONNRESET, "The handshake took too long") from None
        self.settimeout(None)


def ssl_context(_: object, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """gunicorn's hook: its own context, with our sockets."""
    context = default()
    context.sslsocket_class = HastySocket
    return context
