"""What the searchers know, and what they report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from client.ranges import HealthyRange
from client.uploading import State
from crypto.keyholder.private_key import PrivateKey


@dataclass(frozen=True)
class Leak:
    """Something that must not be where it is. `what` never repeats the secret itself."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, repr=False)
class KnownRecording:
    """A recording and its judgement (`sound` 0..65,535, `rate` in tenths of bpm, if counted)."""

    id: str
    data: bytes
    state: State
    sound: int | None
    rate: int | None


@dataclass(frozen=True, repr=False)
class KnownPerson:
    """A collector's own secrets: `private` are raw keys that never leave its folder."""

    login: str
    display_name: str
    pseudonym: str
    password: str
    token: str
    private: tuple[bytes, ...]


@dataclass(frozen=True, repr=False)
class Known:
    """Everything that the search knows and that nobody may find. Times are Unix seconds.

    `keyholder_private`: B's mask, manifest and storage keys, which lie sealed on its disk.
    """

    recordings: tuple[KnownRecording, ...]
    people: tuple[KnownPerson, ...]
    healthy: HealthyRange
    paillier: PrivateKey
    keyholder_private: tuple[bytes, ...]
    began: int
    ended: int

    def results(self) -> Iterator[tuple[KnownRecording, int, int]]:
        """The recordings that have a score and a heart rate."""
        for recording in self.recordings:
            if recording.sound is not None and recording.rate is not None:
                yield recording, recording.sound, recording.rate


@dataclass(frozen=True)
class Place:
    """A file and how it is named in a report."""

    path: Path
    name: str
    content: bytes = field(repr=False)


def places(*folders: Path) -> list[Place]:
    """Every file below the folders, read whole."""
    return [
        Place(path, str(path.relative_to(folder.parent)), path.read_bytes())
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    ]
