"""The collector on the command line.

Passwords are asked for, or read from `--password-file`; they are never arguments, which every user
of a machine can see.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

from client import cohorts, grants, openings, ranges
from client.collector import Collector
from client.errors import ClientError, ProfileError
from client.key_commands import KeyCommands, notices
from client.manifest import check_fingerprint
from client.profile import Profile
from client.transfer import transfer
from client.uploading import State
from crypto.errors import CryptoError
from crypto.findings import AgeBand
from crypto.messages import GrantUse

DEFAULT_FOLDER = Path("~/.config/hushbeat")
DEFAULT_KEYHOLDER = "http://127.0.0.1:8001"
DEFAULT_DAYS = 30

_MEANING = {
    GrantUse.COUNTS: "can open your counts",
    GrantUse.COHORT: "can count you in with many others, month by month, and opens no counts",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; exit status 0, or 1 with one line on stderr that says what to do."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (ClientError, CryptoError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. What was sent goes on at the servers.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m client",
        description="Upload heart sounds, open counts, give and take consent, set healthy ranges, "
        "count cohorts.",
    )
    parser.add_argument("--profile", default="default", help="which collector (default: default)")
    parser.add_argument(
        "--folder", type=Path, default=DEFAULT_FOLDER, help=f"of profiles ({DEFAULT_FOLDER})"
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    register = commands.add_parser("register", help="make an account and its keys")
    register.set_defaults(run=_register)
    register.add_argument("display_name", metavar="NAME")
    register.add_argument("--kind", choices=("patient", "doctor", "clinic"), required=True)
    register.add_argument(
        "--age-band",
        choices=[band.value for band in AgeBand],
        help="of a patient; decides the default heart-rate range",
    )
    register.add_argument("--keyholder", default=DEFAULT_KEYHOLDER, metavar="URL")
    register.add_argument("--fingerprint", required=True, metavar="HEX", help="of the key holder")
    _add_password_file(register)

    login = commands.add_parser("login", help="log in again and enrol the key")
    login.set_defaults(run=_log_in)
    _add_password_file(login)

    logout = commands.add_parser("logout", help="end this profile's login")
    logout.set_defaults(run=_log_out)

    account = commands.add_parser(
        "account", help="show the account, and a doctor's or clinic's code"
    )
    account.set_defaults(run=_account)

    upload = commands.add_parser("upload", help="seal and upload recordings (patient)")
    upload.set_defaults(run=_upload)
    upload.add_argument("files", nargs="+", type=Path, metavar="FILE")
    upload.add_argument("--day", type=_parse_day, help="of recording, YYYY-MM-DD (today)")
    upload.add_argument("--no-wait", action="store_true", help="do not wait for the judgement")

    counts = commands.add_parser("counts", help="open counts")
    counts.set_defaults(run=_counts)
    counts.add_argument("--patient", metavar="PSEUDONYM", help="whose (doctor)")
    _add_window(counts)

    consent = commands.add_parser(
        "consent", help="let a doctor open the counts, or a clinic count them in (patient)"
    )
    consent.set_defaults(run=_consent)
    consent.add_argument("code", help="the code, as in ABCD-EFGH-IJKL-MNOP")

    consents = commands.add_parser("consents", help="list the consents in force (patient)")
    consents.set_defaults(run=_consents)

    revoke = commands.add_parser("revoke", help="take a consent back (patient)")
    revoke.set_defaults(run=_revoke)
    revoke.add_argument("grant", help="its id, from `consents`")

    patients = commands.add_parser("patients", help="list patients with their counts (doctor)")
    patients.set_defaults(run=_patients)
    _add_window(patients)

    healthy = commands.add_parser("range", help="set a patient's healthy range (doctor)")
    healthy.set_defaults(run=_range)
    healthy.add_argument("patient", metavar="PSEUDONYM")
    healthy.add_argument("--low", type=_parse_bpm, required=True, metavar="BPM")
    healthy.add_argument("--high", type=_parse_bpm, required=True, metavar="BPM")
    healthy.add_argument(
        "--threshold", type=int, help="sound score from which a recording is abnormal, 0..65535"
    )

    cohort = commands.add_parser("cohort", help="rosters and cohorts (clinic)")
    actions = cohort.add_subparsers(required=True, metavar="action")
    listed = actions.add_parser("list", help="who lets you count, and the rosters fixed so far")
    listed.set_defaults(run=_cohort_list)
    declared = actions.add_parser(
        "declare", help="fix the roster of a month for good, before the month ends"
    )
    declared.set_defaults(run=_cohort_declare)
    declared.add_argument("month", metavar="YYYY-MM")
    declared.add_argument(
        "patients", nargs="*", metavar="PSEUDONYM", help="(everybody who lets you count)"
    )
    opened = actions.add_parser("open", help="open a month's cohort, once, after the month")
    opened.set_defaults(run=_cohort_open)
    opened.add_argument("month", metavar="YYYY-MM")
    KeyCommands(_collector, _profile, _password, DEFAULT_KEYHOLDER).add_to(commands)
    return parser


def _add_password_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--password-file", type=Path, help="read the password from this file")


def _add_window(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--first", type=_parse_day, help=f"first day ({DEFAULT_DAYS} days back)")
    parser.add_argument("--last", type=_parse_day, help="last day (today)")


def _register(options: argparse.Namespace) -> int:
    profile = _profile(options)
    with Collector.register(
        profile,
        options.keyholder,
        check_fingerprint(options.fingerprint),
        _password(options),
        display_name=options.display_name,
        kind=options.kind,
        age_band=options.age_band,
    ) as collector:
        print(f"Your login is {collector.identity.login}.")
        print(
            f"Your key is in {profile.folder}. Keep a copy of that folder in a safe place: "
            "without it nobody can open your counts."
        )
    return 0


def _log_in(options: argparse.Namespace) -> int:
    with Collector(_profile(options)) as collector:
        collector.log_in(_password(options))
        collector.enrol()
        _finish_consents(collector)
        print(f"Logged in as {collector.identity.login}.")
    return 0


def _log_out(options: argparse.Namespace) -> int:
    with _collector(options) as collector:
        collector.log_out()
        print("Logged out. The keys stay in the profile; log in again with: login")
    return 0


def _account(options: argparse.Namespace) -> int:
    with _collector(options) as collector:
        for name, value in collector.account().items():
            print(f"{name.replace('_', ' ')}: {value}")
    return 0


def _upload(options: argparse.Namespace) -> int:
    with _collector(options) as collector:
        day = options.day or _today()
        result = transfer(collector, options.files, day, wait=not options.no_wait)
    for path, refused in result.refused.items():
        print(f"{path}: {refused}", file=sys.stderr)
    for path, progress in result.finished.items():
        if progress.state is State.UNREADABLE:
            print(f"{path}: unreadable ({progress.reason}); please record again", file=sys.stderr)
        elif progress.state is State.FAILED:
            print(f"{path}: failed ({progress.reason})", file=sys.stderr)
    counted = sum(one.state is State.COUNTED for one in result.finished.values())
    print(f"{len(result.finished)} uploaded, {counted} counted.")
    failed = any(one.state is State.FAILED for one in result.finished.values())
    return 1 if result.refused or failed else 0


def _counts(options: argparse.Namespace) -> int:
    first, last = _window(options)
    with _collector(options) as collector:
        opened = openings.open_each_day(collector, first, last, options.patient)
    print(f"{'day':<12}{'recordings':>10}{'sound':>8}{'rate':>8}")
    for one in opened:
        print(f"{(one.days + one.closed)[0]:<12}{_numbers(one)}")
    totals = (
        sum(one.recordings for one in opened),
        sum(one.sound for one in opened),
        sum(one.rate for one in opened),
    )
    print(f"{'total':<12}{_columns(*totals)}")
    _warn_of_closed_days(opened)
    return 0


def _consent(options: argparse.Namespace) -> int:
    with _collector(options) as collector:
        doctor = grants.find_doctor(collector, options.code)
        grant = grants.grant(collector, doctor)
        can = _MEANING[doctor.use]
        print(f"{doctor.display_name} {can}. Take it back with: revoke {grant}")
    return 0


def _consents(options: argparse.Namespace) -> int:
    with _collector(options) as collector:
        for consent in grants.consents(collector):
            since = datetime.fromtimestamp(consent.since).astimezone().date()
            print(f"{consent.grant}  {since}  {consent.display_name}")
    return 0


def _revoke(options: argparse.Namespace) -> int:
    with _collector(options) as collector:
        grants.revoke(collector, options.grant)
        print("Taken back. Nothing more of yours is opened to them.")
    return 0


def _patients(options: argparse.Namespace) -> int:
    first, last = _window(options)
    with _collector(options) as collector:
        listed = ranges.patients(collector)
        names = [patient.pseudonym for patient in listed]
        opened = openings.open_patients(collector, names, first, last)
    print(f"{'patient':<34}{'name':<24}{'recordings':>10}{'sound':>8}{'rate':>8}  range")
    for patient in listed:
        one = opened[patient.pseudonym]
        print(
            f"{patient.pseudonym:<34}{patient.display_name:<24}{_numbers(one)}"
            f"  {patient.range_state or 'default'}"
        )
    _warn_of_closed_days(list(opened.values()))
    return 0


def _numbers(one: openings.Opened) -> str:
    if one.closed and not one.days:
        return _columns("?", "?", "?")
    return _columns(one.recordings, one.sound, one.rate)


def _columns(recordings: object, sound: object, rate: object) -> str:
    return f"{recordings!s:>10}{sound!s:>8}{rate!s:>8}"


def _warn_of_closed_days(opened: Sequence[openings.Opened]) -> None:
    denied = sum(one.denied for one in opened)
    if denied:
        patients = "1 patient" if denied == 1 else f"{denied} patients"
        print(f"The key holder finds no consent of {patients} any more.", file=sys.stderr)
    closed = sum(len(one.closed) for one in opened if not one.denied)
    if closed:
        days = "1 day" if closed == 1 else f"{closed} days"
        print(
            f"{days} cannot be opened now and left out: the aggregator counts more recordings "
            "there than the servers compared.",
            file=sys.stderr,
        )


def _range(options: argparse.Namespace) -> int:
    healthy = ranges.HealthyRange(options.low, options.high)
    if options.threshold is not None:
        healthy = ranges.HealthyRange(options.low, options.high, options.threshold)
    with _collector(options) as collector:
        ranges.set_range(collector, options.patient, healthy)
        print("The range is in force for every recording compared from now on.")
    return 0


def _cohort_list(options: argparse.Namespace) -> int:
    with _collector(options) as clinic:
        for patient in cohorts.candidates(clinic):
            print(f"{patient.pseudonym}  {patient.display_name}")
        for one in cohorts.cohorts(clinic):
            opens = datetime.fromtimestamp(one.opens_at).astimezone()
            when = f", opens {opens:%Y-%m-%d %H:%M}" if one.state == "fixed" else ""
            spent = "" if one.epsilon is None else f", {_epsilon(one.epsilon)}"
            print(f"{one.month}  {one.state}{when}{spent}")
    return 0


def _cohort_declare(options: argparse.Namespace) -> int:
    with _collector(options) as clinic:
        named = options.patients or [one.pseudonym for one in cohorts.candidates(clinic)]
        cohorts.declare(clinic, options.month, named)
    print(f"The roster of {options.month} is fixed with {len(set(named))} patients.")
    return 0


def _cohort_open(options: argparse.Namespace) -> int:
    with _collector(options) as clinic:
        opened = cohorts.open_cohort(clinic, options.month)
    margin = opened.terms.margin
    sound, rate = (_give_or_take(sum_, margin) for sum_ in (opened.sums.sound, opened.sums.rate))
    print(f"{opened.members} patients, {opened.recordings} recordings in {opened.month}")
    print(f"abnormal by sound: {sound}, by heart rate: {rate}")
    print(_epsilon(opened.terms.epsilon))
    return 0


def _give_or_take(count: int, margin: int) -> str:
    return f"{max(0, count)} (+/- {margin})" if margin else str(count)


def _epsilon(thousandths: int) -> str:
    if not thousandths:
        return "without noise"
    return f"with noise, epsilon {thousandths / 1000:g} of each patient's month"


def _profile(options: argparse.Namespace) -> Profile:
    name: str = options.profile
    if not name or Path(name).name != name or name.startswith("."):
        raise ProfileError("A profile's name is one word without slashes.")
    folder: Path = options.folder
    return Profile(folder.expanduser() / name)


def _collector(options: argparse.Namespace) -> Collector:
    collector = Collector(_profile(options))
    for notice in notices(collector):
        print(notice, file=sys.stderr)
    _finish_consents(collector)
    return collector


def _finish_consents(collector: Collector) -> None:
    """What an earlier command could not tell both servers; that must not keep this one from it."""
    try:
        grants.finish_unconfirmed(collector)
    except (ClientError, CryptoError) as error:
        print(
            f"A consent, or its end, has not reached both servers yet: {error} "
            "The next command tries again.",
            file=sys.stderr,
        )


def _password(options: argparse.Namespace) -> str:
    if options.password_file is None:
        return getpass.getpass("Password: ")
    path: Path = options.password_file
    try:
        return path.read_text().rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"The password file {path} cannot be read.") from error


def _window(options: argparse.Namespace) -> tuple[date, date]:
    last = options.last or _today()
    return options.first or last - timedelta(days=DEFAULT_DAYS), last


def _today() -> date:
    return datetime.now().astimezone().date()


def _parse_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day: YYYY-MM-DD") from None


def _parse_bpm(text: str) -> int:
    """Tenths of bpm from bpm."""
    try:
        return round(float(text) * 10)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no heart rate in bpm") from None
