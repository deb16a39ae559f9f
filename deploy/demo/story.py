"""The story that the demonstration tells: every step as a person with the Python client does it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path

from app.keyholder.keys import KeyholderKeys
from client.collector import Collector
from client.grants import find_doctor, grant
from client.openings import open_each_day, open_patients
from client.profile import Profile
from client.ranges import HealthyRange, patients, set_range
from client.transfer import Transfer, transfer
from client.uploading import State, recording_id
from deploy.demo.evidence import Known, KnownPerson, KnownRecording
from deploy.demo.leak_search import search
from deploy.demo.truth import Counts, Truth, expected_counts, judge
from deploy.local.system import LocalSystem, free_ports
from workers.inference.judge import Judge

HEALTHY = HealthyRange(lo=527, hi=1_017, threshold=31_321)
"""52.7 to 101.7 bpm, and a threshold of its own: numbers that do not occur by chance."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """What came out. `problems` names everything that does not hold."""

    uploaded: int
    counted: int
    unreadable: int
    patient: Counts
    doctor: Counts
    plaintext_found: int
    problems: tuple[str, ...]

    def summary(self) -> dict[str, object]:
        """The line of JSON."""
        fields = asdict(self)
        del fields["problems"]
        return fields


@dataclass(frozen=True)
class _Told:
    """What the people of the story know at its end."""

    transfer: Transfer
    patient: Counts
    doctor: Counts
    people: tuple[KnownPerson, ...]
    id_key: bytes


def tell(folder: Path, files: Sequence[Path], say: Say) -> Result:
    """Runs the whole story in `folder`, which is left to the caller to remove."""
    home, temporary = folder / "home", folder / "tmp"
    temporary.mkdir()
    began = int(time.time())
    say("Making keys and databases, starting every process.")
    port, keyholder_port = free_ports()
    with LocalSystem(
        home,
        port=port,
        keyholder_port=keyholder_port,
        environment={"TMPDIR": str(temporary), "SWEEP_SECONDS": "2"},
        say=say,
    ) as system:
        fingerprint = (home / "public" / "keyholder-fingerprint").read_text().strip()
        told = _act(folder / "collectors", system.keyholder_url, fingerprint, files, say)
        say("Stopping every process.")
    say("Judging the same files here, to compare.")
    truths = _judge(told.transfer)
    known = _known(home, told, truths, began)
    say("Searching databases, blobs, broker, logs and temporary files.")
    leaks = search(home, temporary, known)
    states = {path: progress.state for path, progress in told.transfer.finished.items()}
    distinct = {told.transfer.finished[path].recording: path for path in states}
    return Result(
        uploaded=len(distinct),
        counted=sum(states[path] is State.COUNTED for path in distinct.values()),
        unreadable=sum(states[path] is State.UNREADABLE for path in distinct.values()),
        patient=told.patient,
        doctor=told.doctor,
        plaintext_found=len(leaks),
        problems=(
            *(["No recording was uploaded."] if not distinct else []),
            *_refused_recordings(told.transfer, truths),
            *_contradictions(states, truths),
            *_wrong_counts(told, [truths[path] for path in distinct.values()]),
            *(f"Found: {leak}" for leak in leaks),
        ),
    )


def _act(folder: Path, keyholder: str, fingerprint: str, files: Sequence[Path], say: Say) -> _Told:
    """The part with servers: registers, consents, sets the range, uploads and opens the counts."""
    say("A patient and a doctor register; their keys stay in their own folders.")
    passwords = {kind: secrets.token_urlsafe(18) for kind in ("patient", "doctor")}
    patient, doctor = (
        Collector.register(
            Profile(folder / kind),
            keyholder,
            fingerprint,
            passwords[kind],
            display_name=f"Demonstration {kind}",
            kind=kind,
            age_band="adult" if kind == "patient" else None,
        )
        for kind in ("patient", "doctor")
    )
    with patient, doctor:
        code = str(doctor.account()["doctor_code"])
        say(f"The patient consents to the doctor with the code {code}.")
        grant(patient, find_doctor(patient, code))
        say("The doctor sets a healthy range, encrypted before it leaves the doctor.")
        set_range(doctor, patient.pseudonym, HEALTHY)
        today = datetime.now().astimezone().date()
        result = transfer(patient, files, today)
        for path, progress in result.finished.items():
            if progress.state is not State.COUNTED:
                say(f"{path.name}: {progress.state} ({progress.reason})")
        for path, why in result.refused.items():
            say(f"{path.name}: not uploaded. {why}")
        say("The patient and the doctor open the counts.")
        return _Told(
            transfer=result,
            patient=_patient_counts(patient, today),
            doctor=_doctor_counts(doctor, today),
            people=tuple(_person(one, passwords) for one in (patient, doctor)),
            id_key=patient.identity.id_key,
        )


def _patient_counts(patient: Collector, day: date) -> Counts:
    opened = open_each_day(patient, day, day)
    return Counts(
        sum(one.recordings for one in opened),
        sum(one.sound for one in opened),
        sum(one.rate for one in opened),
    )


def _doctor_counts(doctor: Collector, day: date) -> Counts:
    listed = [patient.pseudonym for patient in patients(doctor)]
    opened = open_patients(doctor, listed, day, day).values()
    return Counts(
        sum(one.recordings for one in opened),
        sum(one.sound for one in opened),
        sum(one.rate for one in opened),
    )


def _person(collector: Collector, passwords: Mapping[str, str]) -> KnownPerson:
    account = collector.account()
    return KnownPerson(
        login=collector.identity.login,
        display_name=str(account["display_name"]),
        pseudonym=collector.pseudonym,
        password=passwords[str(account["kind"])],
        token=collector.aggregator.token or "",
        private=(collector.identity.key.to_bytes(), collector.identity.id_key),
    )


def _judge(transferred: Transfer) -> dict[Path, Truth]:
    judging = Judge.load()
    files = (*transferred.finished, *transferred.refused)
    return {path: judge(path.read_bytes(), judging) for path in files}


def _known(home: Path, told: _Told, truths: Mapping[Path, Truth], began: int) -> Known:
    keys = KeyholderKeys.load(home / "keyholder" / "secrets")
    recordings = []
    for path in told.transfer.finished:
        data, truth = path.read_bytes(), truths[path]
        id_ = recording_id(told.id_key, data)
        recordings.append(KnownRecording(id_, data, truth.state, truth.sound, truth.rate))
    return Known(
        recordings=tuple(recordings),
        people=told.people,
        healthy=HEALTHY,
        paillier=keys.paillier,
        keyholder_private=(
            keys.masks.to_bytes(),
            keys.manifest.to_bytes(),
            keys.storage.to_bytes(),
        ),
        began=began,
        ended=int(time.time()),
    )


def _refused_recordings(transferred: Transfer, truths: Mapping[Path, Truth]) -> list[str]:
    """Files that the client refused although they can be judged."""
    return [
        f"{path.name} was not uploaded: {why}"
        for path, why in transferred.refused.items()
        if truths[path].state is not State.FAILED
    ]


def _contradictions(states: Mapping[Path, State], truths: Mapping[Path, Truth]) -> list[str]:
    """Files that ended otherwise than they should: failed for no reason of their own, or lost."""
    return [
        f"{path.name} ended {state}, but its own judgement is {truths[path].state}."
        for path, state in states.items()
        if state is not truths[path].state
    ]


def _wrong_counts(told: _Told, truths: Sequence[Truth]) -> list[str]:
    expected = expected_counts(truths, HEALTHY)
    problems = []
    if told.patient != told.doctor:
        problems.append("The patient and the doctor opened different counts.")
    if told.patient != expected:
        problems.append("The opened counts are not those of the same files judged here.")
    return problems
