"""A's bits become labels: oblivious transfer extension with one correlation, the garbling offset.

IKNP (Ishai, Kilian, Nissim, Petrank, CRYPTO 2003): from 128 base transfers, any number of labels.
For A's bit x_j, A gets the row t_j and B the row q_j = t_j xor x_j D, where D is B's offset: t_j is
the label of x_j on a wire whose zero label is q_j. Nothing else is sent for the labels.

A cheating A could send columns that do not agree on the bits, and learn bits of D from the rest.
SoftSpokenOT's check stops it (Roy, CRYPTO 2022, ePrint 2022/192, section 4, for the repetition
code): both sides hash the columns with one linear universal hash that is fixed only after A has
sent them (by hashing them: Fiat-Shamir), A sends the hash of its bits and a digest of the hashes
of its columns, and B, who can compute these from its own columns, refuses what does not fit. 128
more random bits of A's mask the hash of the bits. (The check of KOS15 that others use has a flaw in
its proof, named there.)

The linear hash is GHASH (NIST SP 800-38D): a polynomial over GF(2^128) in the column's blocks,
whose value at H is the GMAC tag of the column, up to a constant that is taken off.
"""

import hashlib
import secrets
from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto.comparison.base_transfer import TRANSFERS
from crypto.comparison.blocks import (
    BLOCK_BITS,
    BLOCK_BYTES,
    Bits,
    Blocks,
    blocks_from_bytes,
    rows_of_columns,
)
from crypto.errors import InvalidEncoding

CHECK_BYTES = BLOCK_BYTES + 32


class Extension:
    """What both sides have in common: a session's columns for one batch.

    Args:
        session: the session's 16 bytes.
        batch: the number of the batch; the stretched seeds depend on it, so it is used once.
        bits: how many bits A transfers.
    """

    def __init__(self, session: bytes, batch: int, bits: int) -> None:
        self._name = session + batch.to_bytes(8, "big")
        self._nonce = batch.to_bytes(8, "big") + bytes(8)
        blocks = (bits + BLOCK_BITS - 1) // BLOCK_BITS
        self._bits = bits
        self._column_bytes = BLOCK_BYTES * (blocks + 1)  # one block masks the check

    @property
    def sent_bytes(self) -> int:
        """Length of what A sends for the columns."""
        return TRANSFERS * self._column_bytes

    def __repr__(self) -> str:
        return type(self).__name__

    def _stretched(self, seeds: Sequence[bytes]) -> Bits:
        """Shape (128, column bytes): each seed's AES-128-CTR stream for this batch."""
        zeros = bytes(self._column_bytes)
        streams = [
            Cipher(algorithms.AES(seed), modes.CTR(self._nonce)).encryptor().update(zeros)
            for seed in seeds
        ]
        return np.frombuffer(b"".join(streams), np.uint8).reshape(TRANSFERS, self._column_bytes)

    def _linear_hash(self, sent: bytes) -> "_LinearHash":
        challenge = hashlib.sha256(b"hushbeat/transfer-check/v1\x00" + self._name + sent).digest()
        return _LinearHash(challenge[:BLOCK_BYTES], self._column_bytes)


class ExtensionReceiver(Extension):
    """A's side.

    Args:
        pairs: both seeds of each base transfer.
    """

    def __init__(
        self, session: bytes, batch: int, bits: int, pairs: Sequence[tuple[bytes, bytes]]
    ) -> None:
        super().__init__(session, batch, bits)
        self._pairs = pairs

    def send(self, bits: Bits) -> tuple[bytes, bytes]:
        """What B needs for these bits: the columns and their check.

        Args:
            bits: shape (bits,). The same batch must never be sent with other bits.
        """
        padding = 8 * self._column_bytes - BLOCK_BITS - self._bits
        padded = np.concatenate([bits, np.zeros(padding, np.uint8)])
        mask = np.frombuffer(secrets.token_bytes(BLOCK_BYTES), np.uint8)
        choices = np.concatenate([np.packbits(padded, bitorder="little"), mask])
        own = self._stretched([pair[0] for pair in self._pairs])
        other = self._stretched([pair[1] for pair in self._pairs])
        sent = (own ^ other ^ choices).tobytes()
        linear = self._linear_hash(sent)
        hashes = b"".join(linear(column.tobytes()) for column in own)
        return sent, linear(choices.tobytes()) + hashlib.sha256(hashes).digest()

    def labels(self) -> Blocks:
        """Shape (bits, 2): the labels of the bits that were sent, from the seeds alone."""
        columns = self._stretched([pair[0] for pair in self._pairs])
        return rows_of_columns(columns)[: self._bits]


class ExtensionSender(Extension):
    """B's side.

    Args:
        seeds: the chosen seed of each base transfer.
        offset: D, 16 bytes, whose bit i chose the seed of transfer i.
    """

    def __init__(
        self, session: bytes, batch: int, bits: int, seeds: Sequence[bytes], offset: bytes
    ) -> None:
        super().__init__(session, batch, bits)
        self._seeds = seeds
        self._offset = np.unpackbits(np.frombuffer(offset, np.uint8), bitorder="little")

    def receive(self, sent: bytes, check: bytes) -> Blocks | None:
        """Shape (bits, 2): the zero labels; None if A's columns do not agree with each other.

        Raises:
            InvalidEncoding: another length than these bits need.
        """
        if len(sent) != self.sent_bytes or len(check) != CHECK_BYTES:
            raise InvalidEncoding("the columns of the transfer have another length")
        received = np.frombuffer(sent, np.uint8).reshape(TRANSFERS, self._column_bytes)
        columns = self._stretched(self._seeds) ^ received * self._offset[:, np.newaxis]
        if not self._agrees(columns, sent, check):
            return None
        return rows_of_columns(columns)[: self._bits]

    def _agrees(self, columns: Bits, sent: bytes, check: bytes) -> bool:
        linear = self._linear_hash(sent)
        bits_hash = np.frombuffer(check[:BLOCK_BYTES], np.uint8)
        own = np.frombuffer(b"".join(linear(column.tobytes()) for column in columns), np.uint8)
        expected = own.reshape(TRANSFERS, BLOCK_BYTES) ^ bits_hash * self._offset[:, np.newaxis]
        digest = hashlib.sha256(expected.tobytes()).digest()
        return secrets.compare_digest(digest, check[BLOCK_BYTES:])


class _LinearHash:
    """GHASH of columns of one length, without the constant that their length adds."""

    _NONCE = bytes(12)

    def __init__(self, key: bytes, length: int) -> None:
        self._gmac = AESGCM(key)
        self._constant = self._tag(bytes(length))

    def __call__(self, column: bytes) -> bytes:
        return (self._tag(column) ^ self._constant).to_bytes(BLOCK_BYTES, "big")

    def _tag(self, column: bytes) -> int:
        return int.from_bytes(self._gmac.encrypt(self._NONCE, b"", column), "big")


def offset_block(offset: bytes) -> Blocks:
    """D as one block, shape (2,)."""
    block: Blocks = blocks_from_bytes(offset)[0]
    return block
