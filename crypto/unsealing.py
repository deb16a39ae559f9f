"""Opening what was sealed by `crypto.hpke`: for the inference worker and for collectors only.

Neither server may import this module; an import contract in the tests keeps it so.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from crypto.encoding import sha256_hex
from crypto.errors import InvalidEncoding, SealBroken
from crypto.hpke import OVERHEAD_BYTES, SUITE


class SealingKey:
    """An X25519 private key.

    Attributes:
        public: the public key, 32 bytes.
        key_id: SHA-256 of the public key, 64 hex digits.
    """

    def __init__(self, private: X25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()
        self.key_id = sha256_hex(self.public)

    @classmethod
    def generate(cls) -> "SealingKey":
        return cls(X25519PrivateKey.generate())

    @classmethod
    def from_bytes(cls, data: bytes) -> "SealingKey":
        """From the 32 bytes of `to_bytes`; raises InvalidEncoding."""
        if len(data) != 32:
            raise InvalidEncoding("an X25519 private key is 32 bytes")
        return cls(X25519PrivateKey.from_private_bytes(data))

    def to_bytes(self) -> bytes:
        """The secret itself: seal it before it is stored (`crypto.at_rest`)."""
        return self._private.private_bytes_raw()

    def unseal(self, info: bytes, sealed: bytes) -> bytes:
        """The plaintext (RFC 9180, section 5.1.1).

        Raises:
            SealBroken: altered, truncated, sealed to another key or under another `info`.
        """
        if len(sealed) < OVERHEAD_BYTES:
            raise SealBroken("a sealed message is longer than this: it was cut off")
        try:
            return SUITE.decrypt(sealed, self._private, info)
        except (InvalidTag, ValueError) as error:
            raise SealBroken(
                "cannot be opened: altered, or sealed to another key or for another purpose"
            ) from error

    def __repr__(self) -> str:
        return "SealingKey"
