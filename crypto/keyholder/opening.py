"""B's part of an opening: decrypt the blinded sum and take its own masks off.

Who may open what is checked before (docs/protocol.md, section 4): what is returned here is the
counts plus A's rho, for the collector alone, to be sealed to it.
"""

from collections.abc import Sequence

from crypto.errors import PlaintextOutOfRange
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.messages import Cell
from crypto.paillier import Ciphertext
from crypto.slots import COUNT_SLOT_BITS, max_cells


def open_tally(
    private_key: PrivateKey,
    mask_key: MaskKey,
    ciphertext: Ciphertext,
    cells: Sequence[Cell],
    slot_bits: int = COUNT_SLOT_BITS,
) -> bytes:
    """Dec(C') - sum_k 2^(w k) sum_days P(recordings) mod n, fixed-width big-endian.

    Args:
        slot_bits: w, as the statement says.

    Raises:
        ForeignKey: C' is under another key.
        PlaintextOutOfRange: more cells than fit under this key.
    """
    public = private_key.public
    if not 0 < len(cells) <= max_cells(public.bits):
        raise PlaintextOutOfRange(f"an opening has 1 to {max_cells(public.bits)} cells")
    masks = 0
    for k, cell in enumerate(cells):
        totals = sum(mask_key.total(public, cell.pseudonym, day, n) for day, n in cell.days)
        masks += totals << (slot_bits * k)
    number = (private_key.decrypt(ciphertext) - masks) % public.n
    return number.to_bytes(public.plaintext_bytes, "big")
