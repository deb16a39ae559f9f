"""Secrets on disk: sealed under a key in a database, under a passphrase in a file.

AES-256-GCM with random nonces (NIST SP 800-38D: at most 2^32 messages a key); scrypt (RFC 7914)
turns a passphrase into a key. `context` is authenticated: a value moved elsewhere does not open.
"""

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from crypto.errors import KeyFileError, SealBroken

_NONCE_BYTES = 12
_TAG_BYTES = 16
_SALT_BYTES = 16
_VERSION = b"\x01"
_PASSPHRASE_VERSION = b"hushbeat-key\x01"

SCRYPT_N = 1 << 16
"""64 MiB and about 0.3 s with r = 8, p = 2: OWASP's second choice, kind to small machines."""


class StorageKey:
    """A server's key for its own database columns."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise KeyFileError("a storage key has 32 bytes: generate it again")
        self._key = key
        self._aead = AESGCM(key)

    @classmethod
    def generate(cls) -> "StorageKey":
        return cls(secrets.token_bytes(32))

    def to_bytes(self) -> bytes:
        """The secret itself: seal it before it is stored."""
        return self._key

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Version, nonce, ciphertext and tag. `context` names the row and column."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._aead.encrypt(nonce, plaintext, _VERSION + context)

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """Inverse of `seal`; raises SealBroken."""
        if sealed[:1] != _VERSION or len(sealed) < 1 + _NONCE_BYTES + _TAG_BYTES:
            raise SealBroken("not a value sealed by this version")
        nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._aead.decrypt(nonce, ciphertext, _VERSION + context)
        except InvalidTag as error:
            raise SealBroken("altered, moved, or sealed under another storage key") from error

    def __repr__(self) -> str:
        return "StorageKey"


def seal_with_passphrase(plaintext: bytes, passphrase: bytes, context: bytes) -> bytes:
    """A key file's content: version, salt, and `StorageKey.seal` under the stretched passphrase."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return _PASSPHRASE_VERSION + salt + _stretch(passphrase, salt).seal(plaintext, context)


def unseal_with_passphrase(sealed: bytes, passphrase: bytes, context: bytes) -> bytes:
    """Inverse of `seal_with_passphrase`. Raises SealBroken, also for a wrong passphrase."""
    if not sealed.startswith(_PASSPHRASE_VERSION):
        raise SealBroken("not a key file of this version")
    start = len(_PASSPHRASE_VERSION)
    salt, rest = sealed[start : start + _SALT_BYTES], sealed[start + _SALT_BYTES :]
    try:
        return _stretch(passphrase, salt).unseal(rest, context)
    except SealBroken as error:
        raise SealBroken("wrong passphrase, or a key file altered or of another purpose") from error


def save_sealed(path: Path, plaintext: bytes, passphrase: bytes, context: bytes) -> None:
    """Writes a key file sealed under a passphrase, 0600, atomically."""
    write_private_file(path, seal_with_passphrase(plaintext, passphrase, context))


def load_sealed(path: Path, passphrase: bytes, context: bytes) -> bytes:
    """Reads what `save_sealed` wrote. Raises KeyFileError, naming the file."""
    try:
        return unseal_with_passphrase(path.read_bytes(), passphrase, context)
    except OSError as error:
        raise KeyFileError(f"cannot read the key file {path}: {error.strerror}") from error
    except SealBroken as error:
        raise KeyFileError(f"cannot unlock the key file {path}: {error}") from error


def write_private_file(path: Path, data: bytes) -> None:
    """Writes a file that only its owner can read, all of it or nothing.

    Raises KeyFileError if the folder is missing or cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise KeyFileError(f"cannot write the key file {path}: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _stretch(passphrase: bytes, salt: bytes) -> StorageKey:
    if not passphrase:
        raise KeyFileError("an empty passphrase protects nothing: set one")
    return StorageKey(Scrypt(salt=salt, length=32, n=SCRYPT_N, r=8, p=2).derive(passphrase))
