"""The 128 base oblivious transfers of a session, after Masny and Rindal (CCS 2019, figure 4).

A, the sender, ends with two 16-byte seeds a transfer; B, the receiver, with the one that its bit of
the offset chose. One message each way, over the squares modulo the safe prime ffdhe3072
(RFC 7919, appendix A.2), a group of prime order in which every square but 1 generates.
"""

import hashlib
import secrets
from dataclasses import dataclass

import gmpy2
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from crypto.errors import InvalidEncoding

TRANSFERS = 128
SEED_BYTES = 16
ELEMENT_BYTES = 384

_P = gmpy2.mpz(
    "FFFFFFFFFFFFFFFFADF85458A2BB4A9AAFDC5620273D3CF1D8B9C583CE2D3695"
    "A9E13641146433FBCC939DCE249B3EF97D2FE363630C75D8F681B202AEC4617A"
    "D3DF1ED5D5FD65612433F51F5F066ED0856365553DED1AF3B557135E7F57C935"
    "984F0C70E0E68B77E2A689DAF3EFE8721DF158A136ADE73530ACCA4F483A797A"
    "BC0AB182B324FB61D108A94BB2C8E3FBB96ADAB760D7F4681D4F42A3DE394DF4"
    "AE56EDE76372BB190B07A7C8EE0A6D709E02FCE1CDF7E2ECC03404CD28342F61"
    "9172FE9CE98583FF8E4F1232EEF28183C3FE3B1B4C6FAD733BB5FCBC2EC22005"
    "C58EF1837D1683B2C6F34A26C1B2EFFA886B4238611FCFDCDE355B3B6519035B"
    "BC34F4DEF99C023861B46FC9D6E6C9077AD91D2691F7F7EE598CB0FAC186D91C"
    "AEFE130985139270B4130C93BC437944F4FD4452E2D74DD364F2E21E71F54BFF"
    "5CAE82AB9C9DF69EE86D2BC522363A0DABC521979B0DEADA1DBF9A42D5C4484E"
    "0ABCD06BFA53DDEF3C1B20EE3FD59D7C25E41D2B66C62E37FFFFFFFFFFFFFFFF",
    16,
)
_G = gmpy2.mpz(4)  # a square
_EXPONENT_BITS = 384
"""RFC 7919, appendix A.2 asks for at least 275."""


class TransferSender:
    """A's half: one exponent y for all transfers.

    Args:
        session: the session's 16 bytes, which all seeds depend on.
    """

    def __init__(self, session: bytes) -> None:
        self._session = session
        self._y = secrets.randbits(_EXPONENT_BITS) | 1
        self._element = gmpy2.powmod_sec(_G, self._y, _P)

    def message(self) -> bytes:
        """g^y, for B."""
        return _to_bytes(self._element)

    def seeds(self, answer: bytes) -> list[tuple[bytes, bytes]]:
        """Both seeds of each transfer. Raises InvalidEncoding unless all elements are squares."""
        if len(answer) != 2 * TRANSFERS * ELEMENT_BYTES:
            raise InvalidEncoding("an answer has two elements a transfer")
        elements = [
            _element(answer[at : at + ELEMENT_BYTES]) for at in range(0, len(answer), ELEMENT_BYTES)
        ]
        first = self.message()
        pairs = []
        for i in range(TRANSFERS):
            r = elements[2 * i], elements[2 * i + 1]
            seeds = [
                _seed(
                    self._session,
                    i,
                    first,
                    gmpy2.powmod_sec(
                        r[c] * _hash_to_group(self._session, i, r[1 - c]), self._y, _P
                    ),
                )
                for c in (0, 1)
            ]
            pairs.append((seeds[0], seeds[1]))
        return pairs

    def __repr__(self) -> str:
        return "TransferSender"


@dataclass(frozen=True, repr=False)
class Chosen:
    """B's half: the answer to A, and the chosen seed of each transfer."""

    answer: bytes
    seeds: list[bytes]

    def __repr__(self) -> str:
        return "Chosen"


def choose(session: bytes, message: bytes, choices: list[int]) -> Chosen:
    """B's answer to A's message, for one choice bit a transfer.

    Of the two elements of a transfer, one is drawn and the other one follows from it, so that B
    knows one exponent only. They are distributed alike: A learns nothing of the choice.

    Raises:
        InvalidEncoding: A's message is not a square modulo p.
    """
    sent = _element(message)
    answer, seeds = [], []
    for i, choice in enumerate(choices):
        x = secrets.randbits(_EXPONENT_BITS) | 1
        other = gmpy2.powmod(secrets.randbelow(int(_P) - 2) + 2, 2, _P)
        mine = (
            gmpy2.powmod_sec(_G, x, _P) * gmpy2.invert(_hash_to_group(session, i, other), _P) % _P
        )
        answer += (
            [_to_bytes(other), _to_bytes(mine)]
            if choice
            else [
                _to_bytes(mine),
                _to_bytes(other),
            ]
        )
        seeds.append(_seed(session, i, message, gmpy2.powmod_sec(sent, x, _P)))
    return Chosen(b"".join(answer), seeds)


def _hash_to_group(session: bytes, transfer: int, element: gmpy2.mpz) -> gmpy2.mpz:
    """A square, within 2^-128 of uniform (RFC 9380, section 5.2, then squared)."""
    data = hashlib.sha512(session + transfer.to_bytes(2, "big") + _to_bytes(element)).digest()
    info = b"hushbeat/base-transfer/group/v1"
    wide = HKDFExpand(algorithm=SHA256(), length=ELEMENT_BYTES + 16, info=info).derive(data)
    return gmpy2.powmod(int.from_bytes(wide, "big") % _P, 2, _P)


def _seed(session: bytes, transfer: int, message: bytes, shared: gmpy2.mpz) -> bytes:
    data = (
        b"hushbeat/base-transfer/seed/v1\x00"
        + session
        + transfer.to_bytes(2, "big")
        + message
        + _to_bytes(shared)
    )
    return hashlib.sha256(data).digest()[:SEED_BYTES]


def _element(data: bytes) -> gmpy2.mpz:
    if len(data) != ELEMENT_BYTES:
        raise InvalidEncoding(f"a group element has {ELEMENT_BYTES} bytes")
    value = gmpy2.mpz(int.from_bytes(data, "big"))
    if not 1 < value < _P - 1 or gmpy2.legendre(value, _P) != 1:
        raise InvalidEncoding("not a square modulo p other than 1")
    return value


def _to_bytes(element: gmpy2.mpz) -> bytes:
    return int(element).to_bytes(ELEMENT_BYTES, "big")
