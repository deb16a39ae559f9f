"""B's two secrets as files, sealed under a passphrase (`crypto.at_rest`)."""

from pathlib import Path

from crypto.at_rest import load_sealed, save_sealed
from crypto.encoding import json_bytes, json_object
from crypto.errors import InvalidEncoding, KeyFileError
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey

_PAILLIER = b"hushbeat/key-file/paillier/v1"
_MASK = b"hushbeat/key-file/mask/v1"


def save_private_key(path: Path, key: PrivateKey, passphrase: bytes) -> None:
    """Writes the Paillier key, 0600. Raises KeyFileError."""
    save_sealed(path, json_bytes(key.to_jwk()), passphrase, _PAILLIER)


def load_private_key(path: Path, passphrase: bytes) -> PrivateKey:
    """Reads what `save_private_key` wrote. Raises KeyFileError, KeyTooSmall."""
    data = load_sealed(path, passphrase, _PAILLIER)
    try:
        return PrivateKey.from_jwk(json_object(data))
    except InvalidEncoding as error:
        raise KeyFileError(f"no Paillier key in {path}: {error}") from error


def save_mask_key(path: Path, key: MaskKey, passphrase: bytes) -> None:
    """Writes the mask key, 0600. Raises KeyFileError."""
    save_sealed(path, key.to_bytes(), passphrase, _MASK)


def load_mask_key(path: Path, passphrase: bytes) -> MaskKey:
    """Reads what `save_mask_key` wrote. Raises KeyFileError."""
    data = load_sealed(path, passphrase, _MASK)
    try:
        return MaskKey(data)
    except InvalidEncoding as error:
        raise KeyFileError(f"no mask key in {path}: {error}") from error
