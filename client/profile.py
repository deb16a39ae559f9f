"""A collector's own folder: its keys, whom it trusts, and its session.

`collector.json` holds the private key and is the only copy: whoever has it is the collector, and
without it nobody opens the counts. `session.json` holds a bearer token and can be made again.
`unconfirmed/` holds signed grants and revocations that one of the servers may not have got yet,
`waiting.json` what a new key waits for, `log.json` how far the key holder's log was seen.
`cohort-<roster>.json` holds the statement and one-time key of a clinic's cohort, which opens once.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.errors import ProfileError
from crypto.at_rest import write_private_file
from crypto.encoding import b64u, check_hash, check_id, unb64u
from crypto.errors import CryptoError, InvalidEncoding
from crypto.jws import CollectorKey
from crypto.messages import LogMark

_VERSION = 1
_ID_KEY_BYTES = 32


@dataclass(frozen=True, repr=False)
class Identity:
    """What `collector.json` holds.

    `id_key` derives recording ids, so that they say nothing about a file to anybody else.
    `fingerprint` is the pinned SHA-256 of the key holder's manifest key, in hex. `root` is the
    thumbprint of the account's first key, which names the collector; `key` may be a further one.
    """

    login: str
    keyholder_url: str
    fingerprint: str
    key: CollectorKey
    id_key: bytes
    root: str

    @property
    def is_first(self) -> bool:
        """Whether this is the device in which the account was first used."""
        return self.root == self.key.thumbprint

    def __repr__(self) -> str:
        return "Identity"

    @classmethod
    def generate(
        cls, login: str, keyholder_url: str, fingerprint: str, root: str | None = None
    ) -> Identity:
        """New keys. `root`: of an account that has another device already."""
        key, id_key = CollectorKey.generate(), secrets.token_bytes(_ID_KEY_BYTES)
        return cls(login, keyholder_url, fingerprint, key, id_key, root or key.thumbprint)


class Profile:
    """The folder of one collector, mode 0700, with its files of mode 0600."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key_file = folder / "collector.json"
        self._session_file = folder / "session.json"
        self._unconfirmed = folder / "unconfirmed"
        self._waiting_file = folder / "waiting.json"
        self._log_file = folder / "log.json"

    def exists(self) -> bool:
        return self._key_file.exists()

    def create(self, identity: Identity) -> None:
        """Writes the key file. Raises ProfileError if there is one: a key is never overwritten."""
        if self.exists():
            raise ProfileError(
                f"{self._key_file} holds a collector's key already. Choose another profile; "
                "deleting the file would lose the counts of its owner for good."
            )
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._write(
            self._key_file,
            {
                "version": _VERSION,
                "login": identity.login,
                "keyholder_url": identity.keyholder_url,
                "fingerprint": identity.fingerprint,
                "key": b64u(identity.key.to_bytes()),
                "id_key": b64u(identity.id_key),
                "root": identity.root,
            },
        )

    def identity(self) -> Identity:
        """Reads the key file; raises ProfileError: missing, damaged or readable by others."""
        if not self.exists():
            raise ProfileError(f"There is no collector in {self.folder}. Register one first.")
        content = _read_private(self._key_file)
        try:
            if content.get("version") != _VERSION:
                raise InvalidEncoding("unknown version")
            id_key = unb64u(content["id_key"])
            if len(id_key) != _ID_KEY_BYTES:
                raise InvalidEncoding("the id key has another length")
            key = CollectorKey.from_bytes(unb64u(content["key"]))
            return Identity(
                login=_text(content, "login"),
                keyholder_url=_text(content, "keyholder_url"),
                fingerprint=check_hash(content["fingerprint"]),
                key=key,
                id_key=id_key,
                # Profiles of before there were several devices lack it.
                root=_text({"root": key.thumbprint, **content}, "root"),
            )
        except (KeyError, CryptoError) as error:
            raise ProfileError(
                f"{self._key_file} is damaged. Put back a copy of it if you have one."
            ) from error

    def token(self) -> str | None:
        """The bearer token of the last login, if there is one."""
        return self._session("token")

    def device(self) -> str | None:
        """What shows the aggregator at the next login that this machine logged in before."""
        return self._session("device")

    def keep_session(self, token: str, device: str) -> None:
        self._write(self._session_file, {"token": token, "device": device})

    def forget_token(self) -> None:
        """Logged out; the machine stays known."""
        self._write(self._session_file, {"device": self.device()})

    def waiting(self) -> dict[str, Any] | None:
        """What this device's key waits for: `keep_waiting`'s content, or None."""
        return _read_private(self._waiting_file) if self._waiting_file.exists() else None

    def keep_waiting(self, content: dict[str, Any]) -> None:
        """Remembers a request that others have to approve."""
        self._write(self._waiting_file, content)

    def forget_waiting(self) -> None:
        self._waiting_file.unlink(missing_ok=True)

    def log_mark(self) -> LogMark:
        """How far the key holder's log was seen to be whole."""
        if not self._log_file.exists():
            return LogMark()
        content = _read_private(self._log_file)
        seq, last = content.get("seq"), content.get("hash")
        if type(seq) is not int or not isinstance(last, str):
            raise ProfileError(f"{self._log_file} is damaged. Delete it, and tell the clinic.")
        return LogMark(seq, last)

    def keep_log_mark(self, mark: LogMark) -> None:
        self._write(self._log_file, {"seq": mark.seq, "hash": mark.hash})

    def _session(self, name: str) -> str | None:
        if not self._session_file.exists():
            return None
        value = _read_private(self._session_file).get(name)
        return value if isinstance(value, str) else None

    def keep_unconfirmed(self, kind: str, grant: str, token: str) -> None:
        """Keeps a signed message about a grant until both servers have answered to it.

        `kind`: `grant` or `revocation`.
        """
        self._unconfirmed.mkdir(exist_ok=True, mode=0o700)
        self._write(self._message_file(kind, grant), {"token": token})

    def drop_unconfirmed(self, kind: str, grant: str) -> None:
        self._message_file(kind, grant).unlink(missing_ok=True)

    def unconfirmed(self, kind: str) -> list[str]:
        """The signed messages of this kind that were kept and not dropped."""
        files = sorted(self._unconfirmed.glob(f"{kind}-*.json"))
        try:
            return [_text(_read_private(path), "token") for path in files]
        except (KeyError, InvalidEncoding) as error:
            raise ProfileError(f"A file in {self._unconfirmed} is damaged: delete it.") from error

    def keep_opening(self, roster: str, content: dict[str, Any]) -> None:
        """Keeps what it takes to read the one opening of a cohort."""
        self._write(self._opening_file(roster), content)

    def opening(self, roster: str) -> dict[str, Any] | None:
        """What was kept of a cohort's opening."""
        path = self._opening_file(roster)
        return _read_private(path) if path.exists() else None

    def _opening_file(self, roster: str) -> Path:
        return self.folder / f"cohort-{check_id(roster)}.json"

    def _message_file(self, kind: str, grant: str) -> Path:
        return self._unconfirmed / f"{kind}-{check_id(grant)}.json"

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        write_private_file(path, json.dumps(content, indent=1).encode())


def _read_private(path: Path) -> dict[str, Any]:
    info = path.stat()
    if stat.S_IMODE(info.st_mode) & 0o077:
        raise ProfileError(
            f"{path} can be read by others on this machine. If nobody did, take their right away: "
            f"chmod 600 {path}"
        )
    if info.st_uid != os.geteuid():
        raise ProfileError(f"{path} belongs to another user of this machine.")
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ProfileError(f"{path} is damaged: it is not JSON.") from error
    if not isinstance(content, dict):
        raise ProfileError(f"{path} is damaged: it is not a JSON object.")
    return content


def _text(content: dict[str, Any], name: str) -> str:
    value = content[name]
    if not isinstance(value, str) or not value:
        raise InvalidEncoding(f"{name} is not a text")
    return value
