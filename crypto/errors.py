"""What can go wrong in `crypto`, one small class a cause.

A message says what was wrong and what to do; none carries a key, a plaintext or a masked number.
"""


class CryptoError(Exception):
    """Base of everything that this package raises on purpose."""


class InvalidEncoding(CryptoError):
    """Bytes or JSON that are not exactly what `docs/protocol.md` prescribes."""


class CiphertextOutOfRange(CryptoError):
    """A number that is not a Paillier ciphertext: outside (0, n^2), or not coprime to n."""


class PlaintextOutOfRange(CryptoError):
    """A number that does not fit where it was to be encrypted or packed."""


class ForeignKey(CryptoError):
    """A ciphertext or message under another Paillier key than the one at hand."""


class KeyTooSmall(CryptoError):
    """A Paillier modulus shorter than `crypto.paillier.MIN_KEY_BITS`."""


class StaleCiphertext(CryptoError):
    """A ciphertext about to be sent without having been re-randomised."""


class BadSignature(CryptoError):
    """A signature that does not verify under the key that the verifier named."""


class WrongType(CryptoError):
    """A signed message of another `typ`, audience or kind than the one asked for."""


class Expired(CryptoError):
    """A signed message outside the time for which it was issued."""


class SealBroken(CryptoError):
    """A sealed message that was altered, or sealed to another key or for another purpose."""


class OpeningMismatch(CryptoError):
    """An opened number that cannot be a count: wrong key, mask or number of recordings."""


class ProtocolViolation(CryptoError):
    """A well-formed message that does not fit the step of the protocol it arrived in."""


class TransferCheckFailed(ProtocolViolation):
    """The columns of an oblivious transfer that do not agree: its session must end."""


class MaskForgotten(ProtocolViolation):
    """A number that should be masked and is as small as one that is not."""


class KeyFileError(CryptoError):
    """A key file that cannot be read, written or unlocked."""
