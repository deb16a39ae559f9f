"""Role B's own keys: made once, sealed under a passphrase, loaded at start.

The Paillier key opens tallies, the mask key makes their masks, the manifest key signs what
everybody else believes; its fingerprint is what clients pin. The storage key seals the sessions of
comparisons in the database.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from app.common.secret_files import private_folder, read_or_create, read_secret
from app.keyholder.keys.paillier import FIRST, PaillierKey, load_keys
from crypto.at_rest import StorageKey, load_sealed, save_sealed, seal_with_passphrase
from crypto.encoding import b64u
from crypto.errors import ForeignKey, KeyFileError
from crypto.jws import SigningKey
from crypto.keyholder.key_file import load_mask_key, save_mask_key, save_private_key
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.messages import KeyState

_PASSPHRASE = "passphrase"  # noqa: S105 - a file name
_MASK = "mask.key"
_MANIFEST = "manifest.key"
_MANIFEST_CONTEXT = b"hushbeat/key-file/manifest/v1"
_STORAGE = "storage.key"
_STORAGE_CONTEXT = b"hushbeat/key-file/storage/v1"


@dataclass(frozen=True, repr=False)
class KeyholderKeys:
    """The keys of role B. `paillier` is the ACTIVE one; `others` are PENDING or RETIRED."""

    paillier: PrivateKey
    masks: MaskKey
    manifest: SigningKey
    storage: StorageKey = field(default_factory=StorageKey.generate)
    others: tuple[PaillierKey, ...] = ()

    @classmethod
    def generate(cls) -> Self:
        """New keys: Paillier of 3072 bits (about a second), masks, manifest, storage."""
        return cls(PrivateKey.generate(), MaskKey.generate(), SigningKey.generate())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The keys that `save` left in `folder`.

        Raises:
            KeyFileError: one is missing, altered or sealed under another passphrase.
            SecretFileError: the passphrase is readable by others.
        """
        phrase = passphrase(folder)
        active, others = _by_state(load_keys(folder, phrase))
        return cls(
            active,
            load_mask_key(folder / _MASK, phrase),
            load_manifest_key(folder),
            StorageKey(load_sealed(folder / _STORAGE, phrase, _STORAGE_CONTEXT)),
            others,
        )

    def reloaded(self, folder: Path) -> Self:
        """With the Paillier keys and states that are in `folder` now; raises as `load`."""
        known = {one.private.public.key_id: one.private for one in self.all_paillier}
        active, others = _by_state(load_keys(folder, passphrase(folder), known))
        return replace(self, paillier=active, others=others)

    @property
    def all_paillier(self) -> tuple[PaillierKey, ...]:
        """Every Paillier key, the ACTIVE one first."""
        return PaillierKey(self.paillier, KeyState.ACTIVE), *self.others

    def in_use(self, key_id: str) -> PrivateKey:
        """The ACTIVE or a RETIRED key. Raises ForeignKey."""
        for one in self.all_paillier:
            if one.private.public.key_id == key_id and one.state is not KeyState.PENDING:
                return one.private
        raise ForeignKey("not under a key in use: fetch the manifest and ask again")

    @property
    def retired(self) -> Mapping[str, PrivateKey]:
        """The RETIRED keys by their ids."""
        return {
            one.private.public.key_id: one.private
            for one in self.others
            if one.state is KeyState.RETIRED
        }

    def save(self, folder: Path) -> None:
        """Makes `folder` with the keys and their passphrase in it, all or nothing.

        If the folder is there already, it is left as it is: keys are never replaced, for without
        the old ones no tally opens.
        """
        private_folder(folder.parent)
        draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            phrase = read_or_create(draft / _PASSPHRASE, _new_passphrase).strip()
            save_private_key(draft / FIRST, self.paillier, phrase)
            save_mask_key(draft / _MASK, self.masks, phrase)
            save_sealed(draft / _MANIFEST, self.manifest.to_bytes(), phrase, _MANIFEST_CONTEXT)
            save_sealed(draft / _STORAGE, self.storage.to_bytes(), phrase, _STORAGE_CONTEXT)
            draft.rename(folder)
        except OSError:
            if not folder.exists():
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def self_test(self) -> None:
        """Encrypts and decrypts a random number; raises KeyFileError if it comes out changed."""
        for one in self.all_paillier:
            public = one.private.public
            number = secrets.randbelow(public.n)
            if one.private.decrypt(public.encrypt(number)) != number:
                raise KeyFileError(
                    f"the Paillier key {public.key_id} does not decrypt what it encrypts"
                )

    def __repr__(self) -> str:
        return type(self).__name__


def load_manifest_key(folder: Path) -> SigningKey:
    """The manifest key alone; raises as `KeyholderKeys.load`."""
    data = load_sealed(folder / _MANIFEST, passphrase(folder), _MANIFEST_CONTEXT)
    return SigningKey.from_bytes(data)


def renew_storage_key(folder: Path) -> None:
    """Makes the storage key if it is missing: only sessions depend on it, and they begin anew."""
    phrase = passphrase(folder)
    read_or_create(
        folder / _STORAGE,
        lambda: seal_with_passphrase(StorageKey.generate().to_bytes(), phrase, _STORAGE_CONTEXT),
    )


def passphrase(folder: Path) -> bytes:
    """What the key files are sealed under; raises as `KeyholderKeys.load`."""
    try:
        return read_secret(folder / _PASSPHRASE).strip()
    except FileNotFoundError:
        raise KeyFileError(
            f"no passphrase in {folder}: run python -m app.keyholder.init, or restore it"
        ) from None


def _by_state(keys: list[PaillierKey]) -> tuple[PrivateKey, tuple[PaillierKey, ...]]:
    """The ACTIVE one, and the others."""
    active = next(one for one in keys if one.state is KeyState.ACTIVE)
    return active.private, tuple(one for one in keys if one is not active)


def _new_passphrase() -> bytes:
    return b64u(secrets.token_bytes(32)).encode() + b"\n"
