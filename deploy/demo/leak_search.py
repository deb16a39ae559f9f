"""Searches everything that the servers left on disk for what must not be there.

The searcher is stronger than any thief: it has the recordings, their scores and heart rates (judged
on its own machine), the limits, the passwords and every private key. Five searches, each typed:

- columns: every value of both databases against a list of what its column may hold;
- ciphertexts: what A stores decrypted with B's key must be noise, or be gone;
- numbers: results by name, by context or packed, in logs, broker messages and every other file;
- audio: heads of audio files and pieces of each recording in every encoding, in every file;
- secrets: keys, passwords and tokens outside the folder of their owner;

and by presence: sealed recordings left in the blob store, names or recording ids at the key holder.
tests/client/test_leak_search.py plants one leak of each kind and expects it found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from deploy.demo.evidence import Known, Leak, Place, places
from deploy.demo.leak_audio import find_audio
from deploy.demo.leak_ciphertexts import find_in_ciphertexts
from deploy.demo.leak_columns import AGGREGATOR, KEYHOLDER, find_in_columns
from deploy.demo.leak_keys import find_secrets
from deploy.demo.leak_numbers import find_numbers


def search(home: Path, temporary: Path, known: Known) -> list[Leak]:
    """Everything found below `home` (all roles) and `temporary` (their TMPDIR)."""
    files = places(home, temporary)
    aggregator = home / "aggregator" / "aggregator.sqlite3"
    keyholder = home / "keyholder" / "keyholder.sqlite3"
    return [
        *find_in_columns(aggregator, AGGREGATOR, known),
        *find_in_columns(keyholder, KEYHOLDER, known),
        *find_in_ciphertexts(aggregator, keyholder, known),
        *find_numbers(files, known),
        *find_audio(files, known.recordings),
        *find_secrets(home, files, known),
        *_blobs(home, files),
        *_identities(home, files, known),
    ]


def _blobs(home: Path, files: Iterable[Place]) -> Iterator[Leak]:
    """Every recording is finished, so that no sealed one may be left."""
    for place in files:
        if home / "blobs" in place.path.parents:
            yield Leak(place.name, "a sealed recording that should have been deleted")


def _identities(home: Path, files: Iterable[Place], known: Known) -> Iterator[Leak]:
    """The key holder knows pseudonyms only; the worker knows no accounts."""
    names = [name for person in known.people for name in (person.login, person.display_name)]
    recordings = [recording.id for recording in known.recordings]
    forbidden = {"keyholder": [*names, *recordings], "inference": names}
    for role, needles in forbidden.items():
        encoded = [needle.encode() for needle in needles]
        encoded += [bytes.fromhex(id_) for id_ in recordings if role == "keyholder"]
        for place in files:
            of_role = home / role in place.path.parents or place.path.name == f"{role}.log"
            if of_role and any(needle in place.content for needle in encoded):
                yield Leak(place.name, "an account's name, or the id of a recording")
