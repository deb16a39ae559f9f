"""Recordings on their way: sealed here, sent as they are, followed to their end."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path

from client.collector import Collector
from client.errors import BadAnswer, Conflict, RecordingRefused, StillWaiting
from client.service import field, patiently
from crypto.hpke import recording_info, seal

MAX_BYTES = 20_000_000
"""Of a file, as the aggregator takes them by default."""

_PIECE_BYTES = 65_536
_RESEND_SECONDS = 120.0
_ASKED_AT_ONCE = 50
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 2.0


class State(StrEnum):
    """Of a recording, as the patient sees it; the last three are final."""

    QUEUED = "queued"
    LEASED = "leased"
    REPORTED = "reported"
    COUNTED = "counted"
    UNREADABLE = "unreadable"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        return self in (State.COUNTED, State.UNREADABLE, State.FAILED)


@dataclass(frozen=True)
class Progress:
    """Where a recording is. `reason` says why it is unreadable or failed."""

    recording: str
    day: str
    state: State
    reason: str | None


def upload(
    collector: Collector,
    data: bytes,
    day: date,
    on_sent: Callable[[int], None] = lambda _: None,
) -> str:
    """Seals one recording, sends it and returns its id; the same file twice is one recording.

    `day` is the patient's local day of recording. `on_sent` is told how many more sealed bytes
    left, and a negative number when they have to be sent again. A connection that breaks is taken
    up with the same sealed bytes for up to two minutes.
    """
    check_recording(data)
    recording = recording_id(collector.identity.id_key, data)
    info = recording_info(recording, collector.pseudonym)
    sealed = seal(collector.manifest.sealing.public, info, data)

    def send() -> None:
        sent = 0

        def pieces() -> Iterator[bytes]:
            nonlocal sent
            for at in range(0, len(sealed), _PIECE_BYTES):
                piece = sealed[at : at + _PIECE_BYTES]
                yield piece
                sent += len(piece)
                on_sent(len(piece))

        try:
            collector.aggregator.put(
                f"/api/recordings/{recording}", pieces, len(sealed), day=day.isoformat()
            )
        except BaseException:
            on_sent(-sent)
            raise

    try:
        patiently(send, _RESEND_SECONDS)
    except Conflict as conflict:
        # Sealing is randomised: an earlier upload of the same file has other sealed bytes.
        if conflict.slug != "recording-exists":
            raise
        on_sent(len(sealed))
    return recording


def recording_id(id_key: bytes, data: bytes) -> str:
    """The recording's id: the same for the same file and collector, meaningless to others."""
    mac = hmac.new(id_key, b"hushbeat/recording-id/v1\x00" + data, hashlib.sha256)
    return mac.digest()[:16].hex()


def check_recording(data: bytes) -> None:
    """Refuses what cannot be a recording before it is sealed; the worker looks properly."""
    if not data:
        raise RecordingRefused("The file is empty. Record again.")
    if len(data) > MAX_BYTES:
        raise RecordingRefused(
            f"The file has {len(data) / 1e6:.1f} MB; {MAX_BYTES / 1e6:.0f} MB can be sent. "
            "Upload a shorter recording."
        )
    if not _looks_like_audio(data):
        raise RecordingRefused("The file is no audio. Choose a WAV, FLAC, OGG or MP3 recording.")


def read_recording(path: Path) -> bytes:
    """A file's bytes, checked; raises RecordingRefused, also for what cannot be read."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RecordingRefused(
                f"The file has more than {MAX_BYTES / 1e6:.0f} MB. Upload a shorter recording."
            )
        data = path.read_bytes()
    except OSError as error:
        raise RecordingRefused(f"The file cannot be read: {error.strerror}.") from error
    check_recording(data)
    return data


def _looks_like_audio(data: bytes) -> bool:
    """WAV, FLAC, OGG, or MP3 with or without a tag, by the first bytes."""
    if data[:4] == b"RIFF":
        return data[8:12] == b"WAVE"
    mpeg_frame = len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0
    return data[:4] in (b"fLaC", b"OggS") or data[:3] == b"ID3" or mpeg_frame


def progress(collector: Collector, recordings: Sequence[str]) -> list[Progress]:
    """Where these recordings are, in the same order. Raises BadAnswer if one is not known."""
    found: dict[str, Progress] = {}
    for first in range(0, len(recordings), _ASKED_AT_ONCE):
        ids = ",".join(recordings[first : first + _ASKED_AT_ONCE])
        answer = collector.aggregator.get("/api/recordings", ids=ids)
        for row in field(answer, "recordings", list):
            one = _progress(row)
            found[one.recording] = one
    missing = [recording for recording in recordings if recording not in found]
    if missing:
        raise BadAnswer(f"The aggregator does not know {len(missing)} of these recordings.")
    return [found[recording] for recording in recordings]


def wait_until_finished(
    collector: Collector,
    recordings: Sequence[str],
    seconds: float,
    on_change: Callable[[Progress], None] = lambda _: None,
) -> list[Progress]:
    """Waits until every recording is counted, unreadable or failed; tells `on_change` of each step.

    Raises StillWaiting after `seconds`: nothing is lost, the servers go on.
    """
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE_SECONDS
    seen: dict[str, Progress] = {}
    while True:
        now = patiently(lambda: progress(collector, recordings), _RESEND_SECONDS)
        changed = [one for one in now if seen.get(one.recording) != one]
        for one in changed:
            seen[one.recording] = one
            on_change(one)
        waiting = sum(not one.state.final for one in now)
        if not waiting:
            return now
        if time.monotonic() > deadline:
            raise StillWaiting(
                f"{waiting} of {len(now)} recordings are still being judged. They go on by "
                "themselves; look again later."
            )
        pause = _FIRST_PAUSE_SECONDS if changed else min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
        time.sleep(pause)


def _progress(row: object) -> Progress:
    if not isinstance(row, dict):
        raise BadAnswer("The aggregator's list of recordings cannot be read.")
    reason = row.get("reason")
    try:
        state = State(field(row, "state", str))
    except ValueError:
        raise BadAnswer("The aggregator named a state that there is not.") from None
    return Progress(
        recording=field(row, "recording", str),
        day=field(row, "day", str),
        state=state,
        reason=reason if isinstance(reason, str) else None,
    )
