"""`make run`: sets Hushbeat up on this machine, starts it and stops it with Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from deploy.local.certificates import CertificateFiles
from deploy.local.network import default_address
from deploy.local.setup import SetupFailed
from deploy.local.supervisor import ROOT, NotReady
from deploy.local.system import CannotStart, LocalSystem


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    system = LocalSystem(
        options.home,
        port=options.port,
        keyholder_port=options.keyholder_port,
        host=options.host,
        lan=default_address() if options.lan == "" else options.lan,
        say=lambda line: print(line, flush=True),
    )
    print("Hushbeat is starting.", flush=True)
    try:
        system.start(cancelled=stop)
    except (CannotStart, SetupFailed, NotReady) as error:
        print(error, file=sys.stderr)
        return 1
    try:
        if not stop.is_set():
            if options.demo_accounts and system.newly_set_up:
                _show_demo_accounts(system)
            if system.certificates:
                _show_authority(system.certificates)
            print(
                f"Open {system.aggregator_url} in a browser. (The key holder is at "
                f"{system.keyholder_url}; data and logs are in {system.home}.)\n"
                "Ctrl-C stops everything.",
                flush=True,
            )
            stop.wait()
        print("Stopping.", flush=True)
    finally:
        system.stop()
    return 0


def _show_demo_accounts(system: LocalSystem) -> None:
    """One account of each kind, made while there is none; their passwords are shown only now."""
    made = subprocess.run(
        [sys.executable, "-m", "app.aggregator.init", "--demo-accounts"],
        cwd=ROOT,
        env=system.environment_of("aggregator"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if made.returncode:
        print("The demonstration accounts could not be made.", file=sys.stderr)
    elif made.stdout:
        print("Accounts for a demonstration; the passwords are shown this once:")
        print("  kind      login                   password")
        for line in made.stdout.splitlines():
            print(f"  {line}")


def _show_authority(files: CertificateFiles) -> None:
    """Where the certificate authority lies, and how others come to trust it."""
    print(
        "Every phone and computer that uses it must first trust this machine's certificate "
        f"authority:\n  {files.authority}\n  SHA-256 {files.fingerprint()}\n"
        "Carry that file to the device yourself, open it there, and install it as a CA "
        "certificate only if the device shows the same fingerprint. "
        "Android has this under Settings, Security, Credentials; on iPhones also switch it on "
        "under General, About, Certificate Trust Settings; computers import it in the browser's or "
        "the system's certificate settings, under authorities.",
        flush=True,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make run",
        description="Start both roles and the workers on this machine.",
        epilog='With make: make run LAN=1, make run RUN_ARGS="--port 8080".',
    )
    parser.add_argument(
        "--home",
        type=Path,
        default=Path(os.environ.get("HUSHBEAT_HOME") or ROOT / "var"),
        help="folder of all data and logs (default: HUSHBEAT_HOME, or var/ here)",
    )
    parser.add_argument("--port", type=_port, default=8000, help="of the aggregator (8000)")
    parser.add_argument(
        "--keyholder-port", type=_port, default=8001, help="of the key holder (8001)"
    )
    parser.add_argument(
        "--host",
        choices=("127.0.0.1", "localhost"),
        default="127.0.0.1",
        help="what its addresses call this machine (127.0.0.1); passkeys need localhost",
    )
    parser.add_argument(
        "--lan",
        nargs="?",
        const="",
        metavar="NAME_OR_ADDRESS",
        help="serve this machine's network by TLS, under its name or IPv4 address there (default: "
        "the address of the default route)",
    )
    parser.add_argument(
        "--no-demo-accounts",
        dest="demo_accounts",
        action="store_false",
        help="make no demonstration accounts at the first start",
    )
    return parser


def _port(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 65_535:
        raise ValueError
    return number


if __name__ == "__main__":
    sys.exit(main())
