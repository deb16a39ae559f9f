"""Secrets on disk open with their key, in their place, and not otherwise."""

import stat
from pathlib import Path

import pytest

from crypto import at_rest, paillier
from crypto.at_rest import (
    StorageKey,
    load_sealed,
    save_sealed,
    seal_with_passphrase,
    unseal_with_passphrase,
    write_private_file,
)
from crypto.errors import KeyFileError, KeyTooSmall, SealBroken
from crypto.keyholder import key_file
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey

KEY = StorageKey(bytes(range(32)))


@pytest.fixture(autouse=True)
def _cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_rest, "SCRYPT_N", 1 << 4)


def test_round_trip_and_fresh_nonces() -> None:
    assert KEY.unseal(KEY.seal(b"secret", b"row 1"), b"row 1") == b"secret"
    assert KEY.seal(b"secret", b"") != KEY.seal(b"secret", b"")


def test_altered_moved_or_foreign_values_stay_shut() -> None:
    sealed = KEY.seal(b"secret", b"row 1")
    for position in range(len(sealed)):
        altered = bytearray(sealed)
        altered[position] ^= 1
        with pytest.raises(SealBroken):
            KEY.unseal(bytes(altered), b"row 1")
    for wrong in (b"", sealed[:20], sealed[:-1], sealed + b"\0"):
        with pytest.raises(SealBroken):
            KEY.unseal(wrong, b"row 1")
    with pytest.raises(SealBroken):
        KEY.unseal(sealed, b"row 2")
    with pytest.raises(SealBroken):
        StorageKey(bytes(32)).unseal(sealed, b"row 1")


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_storage_key_has_32_bytes(size: int) -> None:
    with pytest.raises(KeyFileError, match="32 bytes"):
        StorageKey(bytes(size))


def test_passphrases() -> None:
    sealed = seal_with_passphrase(b"secret", b"horse", b"use")
    assert unseal_with_passphrase(sealed, b"horse", b"use") == b"secret"
    for data, passphrase, context in (
        (sealed, b"mule", b"use"),
        (sealed, b"horse", b"other"),
        (sealed[:-1], b"horse", b"use"),
        (sealed[:20], b"horse", b"use"),
        (b"", b"horse", b"use"),
        (b"x" + sealed, b"horse", b"use"),
    ):
        with pytest.raises(SealBroken):
            unseal_with_passphrase(data, passphrase, context)
    with pytest.raises(KeyFileError, match="empty passphrase"):
        seal_with_passphrase(b"secret", b"", b"use")


def test_files_are_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_private_file(path, b"first")
    write_private_file(path, b"second")
    assert path.read_bytes() == b"second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_an_unwritable_place_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "taken"
    folder.mkdir()
    for path in (tmp_path / "missing" / "key", folder):
        with pytest.raises(KeyFileError, match=path.name):
            write_private_file(path, b"x")
    assert list(tmp_path.iterdir()) == [folder]


def test_key_files_say_which_file_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(KeyFileError, match="cannot read the key file"):
        load_sealed(path, b"horse", b"use")
    save_sealed(path, b"secret", b"horse", b"use")
    assert load_sealed(path, b"horse", b"use") == b"secret"
    with pytest.raises(KeyFileError, match="wrong passphrase"):
        load_sealed(path, b"mule", b"use")


def test_key_holders_key_files(
    tmp_path: Path, private_key: PrivateKey, mask_key: MaskKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    paillier_file, mask_file = tmp_path / "paillier", tmp_path / "mask"
    key_file.save_private_key(paillier_file, private_key, b"horse")
    key_file.save_mask_key(mask_file, mask_key, b"horse")
    assert key_file.load_private_key(paillier_file, b"horse").public == private_key.public
    assert key_file.load_mask_key(mask_file, b"horse").to_bytes() == mask_key.to_bytes()
    with pytest.raises(KeyFileError):
        key_file.load_mask_key(paillier_file, b"horse")
    save_sealed(paillier_file, b"{}", b"horse", key_file._PAILLIER)
    with pytest.raises(KeyFileError, match="no Paillier key"):
        key_file.load_private_key(paillier_file, b"horse")
    save_sealed(mask_file, b"short", b"horse", key_file._MASK)
    with pytest.raises(KeyFileError, match="no mask key"):
        key_file.load_mask_key(mask_file, b"horse")
    key_file.save_private_key(paillier_file, private_key, b"horse")
    monkeypatch.setattr(paillier, "MIN_KEY_BITS", 3072)
    with pytest.raises(KeyTooSmall):
        key_file.load_private_key(paillier_file, b"horse")
