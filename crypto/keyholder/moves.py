"""B's part of moving ciphertexts to another key: decrypt masked numbers, encrypt them again.

Whatever is decrypted is answered in the same way: were a plaintext refused for what it is, an
aggregator that asks often enough could find out a count. Serving a tally once, for one request, is
the key holder's database's business.
"""

from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.moves import TALLY, ZONED, Form, MoveAnswer, MovedTally, MoveRequest, encode_moved


def answer_move(
    source: PrivateKey, target: PrivateKey, masks: MaskKey, request: MoveRequest, sha256: str
) -> bytes:
    """The answer to a request; the same bytes again for the same request.

    Args:
        source, target: the two keys that the request names.
        sha256: of the request's bytes.

    Raises:
        InvalidEncoding, CiphertextOutOfRange: not ciphertexts under the source key.
    """
    parts = [one.ciphertext for one in request.tallies] + [*request.zoned]
    plaintexts = [source.decrypt(ciphertext) for ciphertext in source.public.parse_all(parts)]
    random = masks.move_noise(sha256)

    def again(form: Form, plaintext: int, mask: int = 0) -> bytes:
        numbers = form.split(plaintext, source.public.bits)
        joined = form.join(numbers, target.public.bits) + mask
        return target.encrypt(joined % target.public.n, random).to_wire()

    def moved_tally(one: MovedTally, plaintext: int) -> bytes:
        of_tally = one.pseudonym, one.day, one.number
        bare = (plaintext - masks.total(source.public, *of_tally)) % source.public.n
        return again(TALLY, bare, masks.total(target.public, *of_tally))

    count = len(request.tallies)
    tallies = zip(request.tallies, plaintexts[:count], strict=True)
    return encode_moved(
        MoveAnswer(
            tuple(moved_tally(one, plaintext) for one, plaintext in tallies),
            tuple(again(ZONED, plaintext) for plaintext in plaintexts[count:]),
        )
    )
