"""B's part of an opened cohort: decrypt, take the members' masks off, add B's share of the noise.

Who may open what, and that it happens once, is checked before (docs/protocol.md, section 6.1).
"""

from crypto.cohorts import CohortTerms, Members, packed
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.paillier import Ciphertext


def open_cohort(
    private_key: PrivateKey,
    mask_key: MaskKey,
    ciphertext: Ciphertext,
    roster: str,
    members: Members,
    terms: CohortTerms,
) -> bytes:
    """Dec(C') - sum over members and days of P(recordings) + B's noise mod n, fixed-width
    big-endian.

    The noise follows from the mask key and the roster, so a repetition draws the same.

    Raises:
        ForeignKey: C' is under another key.
        PlaintextOutOfRange: see `CohortTerms.noise`.
    """
    public = private_key.public
    masks = sum(
        mask_key.total(public, pseudonym, day, n) for pseudonym, days in members for day, n in days
    )
    noise = packed(public, *terms.noise(mask_key.noise(roster)))
    number = (private_key.decrypt(ciphertext) - masks + noise) % public.n
    return number.to_bytes(public.plaintext_bytes, "big")
