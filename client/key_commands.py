"""Commands about keys: devices, recovery and the key holder's log."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from client import devices, log, recovery
from client.collector import Collector
from client.errors import ClientError, StillWaiting
from client.manifest import check_fingerprint
from client.profile import Profile
from crypto.encoding import check_id
from crypto.errors import ProtocolViolation
from crypto.messages import LogEntry

WAIT_SECONDS = 300.0

Options = argparse.Namespace
Run = Callable[[Options], int]


class KeyCommands:
    """`opened`, `profile` and `password` say how the command line gets at each of them."""

    def __init__(
        self,
        opened: Callable[[Options], Collector],
        profile: Callable[[Options], Profile],
        password: Callable[[Options], str],
        default_keyholder: str,
    ) -> None:
        self._opened = opened
        self._profile = profile
        self._password = password
        self._default_keyholder = default_keyholder

    def add_to(self, commands: Any) -> None:
        """Adds `device`, `recovery` and `log`."""
        device = _group(commands, "device", "this account's devices")
        self._add_joining(device, "request", "ask for this new device", self._request_device)
        approve = _command(device, "approve", "let the device in that shows this code")
        approve.set_defaults(run=self._approve_device)
        approve.add_argument("code", help="as shown there, ABCD-EFGH-IJKL-MNOP")
        listed = _command(device, "list", "list the devices, and those that wait")
        listed.set_defaults(run=self._list_devices)
        remove = _command(device, "remove", "end a device")
        remove.set_defaults(run=self._remove_device)
        remove.add_argument("thumbprint", help="or its beginning, from `device list`")

        again = _group(commands, "recovery", "get the counts back without any key (patient)")
        self._add_joining(again, "request", "ask with this device's new key", self._ask_recovery)
        proceed = _command(again, "continue", "bring approvals on; complete when it is time")
        proceed.set_defaults(run=self._proceed)
        asked = _command(again, "list", "list your patients' recoveries (doctor)")
        asked.set_defaults(run=self._list_recoveries)
        vouch = _command(again, "approve", "vouch for a patient in person (doctor)")
        vouch.set_defaults(run=self._approve_recovery)
        vouch.add_argument("code", help="as the patient's new device shows it")
        stop = _command(again, "cancel", "stop a recovery of this account")
        stop.set_defaults(run=self._cancel)
        stop.add_argument("recovery", help="its id, from the notice")

        entries = commands.add_parser("log", help="show the key holder's log of this account")
        entries.set_defaults(run=self._log)

    def _add_joining(self, group: Any, name: str, text: str, run: Run) -> None:
        parser = _command(group, name, text)
        parser.set_defaults(run=run)
        parser.add_argument("--login", help="of the account, the first time on this device")
        parser.add_argument("--keyholder", default=self._default_keyholder, metavar="URL")
        parser.add_argument("--fingerprint", metavar="HEX", help="of the key holder")
        parser.add_argument("--password-file", type=Path, help="read the password from this file")
        if name == "request" and run == self._request_device:
            parser.add_argument("--label", default="Python client", help="what to call it")
            parser.add_argument("--wait", type=float, default=WAIT_SECONDS, metavar="SECONDS")

    def _joined(self, options: Options) -> Collector:
        profile = self._profile(options)
        if profile.exists():
            return Collector(profile)
        if options.login is None or options.fingerprint is None:
            raise ClientError("The first time, --login and --fingerprint are needed.")
        fingerprint = check_fingerprint(options.fingerprint)
        password = self._password(options)
        return Collector.join(profile, options.keyholder, fingerprint, options.login, password)

    def _request_device(self, options: Options) -> int:
        with self._joined(options) as collector:
            code = devices.request(collector, options.label)
            print(f"Code of this device: {code}")
            print("On another device: device approve, with exactly this code.", flush=True)
            with suppress(StillWaiting):
                devices.finish(collector, options.wait)
                print("This device is taken in.")
                return 0
        print("Not approved yet. Run this command again to go on waiting.", file=sys.stderr)
        return 1

    def _approve_device(self, options: Options) -> int:
        with self._opened(options) as collector:
            one = devices.approve(collector, options.code)
        print(f"Signed for {one.label}. It can open your counts from now on.")
        return 0

    def _list_devices(self, options: Options) -> int:
        with self._opened(options) as collector:
            for one in devices.listed(collector):
                name = "unknown to the aggregator" if one.label is None else one.label or "first"
                own = "  (this one)" if one.own else ""
                print(f"{one.thumbprint}  {_day(one.added_at)}  {one.type}  {name}{own}")
            for waiting in devices.waiting(collector):
                print(f"waits: {waiting.code}  {waiting.label}")
        return 0

    def _remove_device(self, options: Options) -> int:
        with self._opened(options) as collector:
            print(f"Removed {devices.remove(collector, options.thumbprint)}.")
        return 0

    def _ask_recovery(self, options: Options) -> int:
        with self._joined(options) as collector:
            code = recovery.begin(collector)
        print(f"Code of this device: {code}")
        print(
            "Show it to a doctor who can open your counts and to the clinic's operator, or to two "
            "such doctors. Then run: recovery continue"
        )
        return 0

    def _proceed(self, options: Options) -> int:
        with Collector(self._profile(options)) as collector:
            standing = recovery.proceed(collector)
        if standing.complete:
            print("This device's key is the only one in force now. Past counts open again.")
        elif standing.completes_at is not None:
            print(f"Approved. It completes after {_time(standing.completes_at)}: run this again.")
        else:
            print(f"{len(standing.approvers)} approved so far; a doctor must be one of two.")
        return 0

    def _list_recoveries(self, options: Options) -> int:
        with self._opened(options) as doctor:
            for one in recovery.listed(doctor):
                state = "approved" if one.approved else "waits"
                print(f"{one.code}  {one.display_name}  {state}")
        return 0

    def _approve_recovery(self, options: Options) -> int:
        with self._opened(options) as doctor:
            print(f"You vouched for {recovery.approve(doctor, options.code).display_name}.")
        return 0

    def _cancel(self, options: Options) -> int:
        with self._opened(options) as collector:
            recovery.cancel(collector, check_id(options.recovery))
        print("The recovery is stopped.")
        return 0

    def _log(self, options: Options) -> int:
        with self._opened(options) as collector:
            history, _ = log.read(collector)
            for entry in history.entries:
                print(_line(entry, collector.pseudonym))
        return 0


def notices(collector: Collector) -> list[str]:
    """What the owner should know before anything else: of keys, recoveries, a changed log.

    Nothing where the key holder cannot be asked, or does not know this device.
    """
    try:
        history = log.look(collector)
    except ProtocolViolation as error:
        return [
            f"STOP: the key holder's log was changed ({error}). Somebody may have opened your "
            "counts or added a key. Tell the clinic; do not go on."
        ]
    except ClientError:
        return []
    told = [
        f"Your keys were changed from another device: {entry.kind.value} {entry.subject}, "
        f"{_time(entry.at)}. If that was not you, remove that key: device remove"
        for entry in log.of_other_devices(collector, history.entries)
    ]
    told += [
        f"A recovery replaces all your keys after {_time(one.completes_at)}. If that is not you: "
        f"recovery cancel {one.recovery}"
        for one in history.recoveries
    ]
    return told


def _group(commands: Any, name: str, text: str) -> Any:
    parser = commands.add_parser(name, help=text)
    return parser.add_subparsers(required=True, metavar="action")


def _command(group: Any, name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = group.add_parser(name, help=text)
    return parser


def _line(entry: LogEntry, own: str) -> str:
    actor = "you" if entry.actor == own else entry.actor
    size = f", {entry.recordings} recordings in {entry.cells} sums" if entry.cells else ""
    return f"{_time(entry.at)}  {entry.kind.value:<20} {entry.subject}  by {actor}{size}"


def _time(at: int) -> str:
    return datetime.fromtimestamp(at).astimezone().isoformat(sep=" ", timespec="minutes")


def _day(at: int) -> str:
    return datetime.fromtimestamp(at).astimezone().date().isoformat()
