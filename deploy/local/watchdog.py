"""Ends what a killed supervisor leaves behind: `python -m deploy.local.watchdog`.

Reads `+group` and `-group` lines of process groups from standard input. When the other end closes,
because the supervisor stopped or was killed, every group that is still listed is ended. It uses
nothing but the standard library and runs in a session of its own, so that Ctrl-C does not reach it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable

GRACE_SECONDS = 3.0


def listed_groups(lines: Iterable[str]) -> set[int]:
    """Read until the end of input; returns the groups that were added and never taken off."""
    groups: set[int] = set()
    for line in lines:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    return groups


def end_groups(groups: set[int], grace: float) -> None:
    """SIGTERM to each group, SIGKILL to those that still live after `grace` seconds."""
    alive = {group for group in groups if send(group, signal.SIGTERM)}
    deadline = time.monotonic() + grace
    while alive and time.monotonic() < deadline:
        time.sleep(0.05)
        alive = {group for group in alive if send(group, 0)}
    for group in alive:
        send(group, signal.SIGKILL)


def send(group: int, number: int) -> bool:
    """Send a signal to a process group; False when nobody is left in it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_groups(listed_groups(sys.stdin), GRACE_SECONDS)
