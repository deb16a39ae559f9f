"""Makes vectors/fast_comparison.json anew: `python -m tests.crypto.make_fast_vectors`.

For when a message of the fast comparison changes on purpose. All secrets in it follow from
`secret`, and its recipe stands in the file, so that another implementation can replay it.
"""

import hashlib
import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgpack

from crypto import paillier
from crypto.comparison import base_transfer, ot_extension
from crypto.comparison.batches import decode_answer, decode_request
from crypto.comparison.fast import Counted, FastInitiator, Item
from crypto.comparison.positions import RangePosition, RecordingPosition, write_position
from crypto.comparison.session import EvaluatorSession, GarblerSession
from crypto.encoding import unb64u
from crypto.keyholder.fast import FastResponder
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.slots import pack_range, pack_report
from tests.crypto.by_hand_batch import Session, replay_ranges, replay_recordings
from tests.crypto.fast_pair import ScriptedMasks

FILE = Path(__file__).parent / "vectors" / "fast_comparison.json"
PAILLIER = Path(__file__).parent / "vectors" / "transcript.json"

SESSION = bytes.fromhex("f0e1d2c3b4a5968778695a4b3c2d1e0f")
RECIPE = (
    "secret(name, i, k) is the first k bytes of SHAKE-256(name '/' i), name in ASCII, i in "
    "decimal; numbers are read big-endian"
)
PSEUDONYM = "0123456789abcdef" * 2
RANGE_ID = "fedcba9876543210" * 2
DAY = "2026-01-01"


def secret(name: str, i: int, length: int) -> bytes:
    """A number of the vectors that would be random."""
    return hashlib.shake_256(f"{name}/{i}".encode("ascii")).digest(length)


def exponent(name: str, i: int) -> int:
    return int.from_bytes(secret(name, i, 48), "big") | 1


class ScriptedDraws:
    """In place of `secrets` in the base transfers: y or every x, and the other elements."""

    def __init__(self, name: str) -> None:
        self._name, self._exponents, self._squares = name, 0, 0

    def randbits(self, k: int) -> int:
        assert k == 384
        self._exponents += 1
        return exponent(self._name, self._exponents - 1)

    def randbelow(self, n: int) -> int:
        self._squares += 1
        return int.from_bytes(secret("root", self._squares - 1, 384), "big") % n


class ScriptedMaskOfCheck:
    """In place of `secrets` in the transfer: A's 128 random bits."""

    def __init__(self, mask: bytes) -> None:
        self._mask = mask

    def token_bytes(self, count: int) -> bytes:
        assert count == len(self._mask)
        return self._mask


def base_transfers() -> dict[str, Any]:
    """The transcript of opening a session."""
    offset = bytearray(secret("offset", 0, 16))
    offset[0] |= 1
    choices = [offset[i // 8] >> i % 8 & 1 for i in range(128)]
    with patch.object(base_transfer, "secrets", ScriptedDraws("y")):
        sender = base_transfer.TransferSender(SESSION)
    request = msgpack.packb({"session": SESSION, "element": sender.message()})
    with patch.object(base_transfer, "secrets", ScriptedDraws("x")):
        chosen = base_transfer.choose(SESSION, sender.message(), choices)
    pairs = sender.seeds(chosen.answer)
    return {
        "recipe": RECIPE + "; y = secret('y', 0, 48), x_i = secret('x', i, 48), their lowest bit "
        "set; the square that is drawn is (secret('root', i, 384) mod (p - 2) + 2)^2; the offset "
        "is secret('offset', 0, 16), its lowest bit set",
        "session": SESSION.hex(),
        "offset": bytes(offset).hex(),
        "request": request.hex(),
        "answer_sha256": hashlib.sha256(chosen.answer).hexdigest(),
        "first_pair_of_elements": chosen.answer[:768].hex(),
        "last_pair_of_elements": chosen.answer[-768:].hex(),
        "pairs": [[first.hex(), second.hex()] for first, second in pairs],
        "chosen": [seed.hex() for seed in chosen.seeds],
    }


def batches(opened: dict[str, Any]) -> dict[str, Any]:
    """A batch of recordings with a void one, and a batch of range checks with a void one."""
    known = json.loads(PAILLIER.read_text())
    p, q = (int.from_bytes(unb64u(known[name]), "big") for name in ("p", "q"))
    private, masks = PrivateKey(p, q), MaskKey(secret("mask key", 0, 32))
    key = private.public
    evaluator = EvaluatorSession(
        SESSION.hex(), tuple((bytes.fromhex(a), bytes.fromhex(b)) for a, b in opened["pairs"])
    )
    garbler = GarblerSession(
        SESSION.hex(), bytes.fromhex(opened["offset"]), tuple(map(bytes.fromhex, opened["chosen"]))
    )
    values = [
        {"score": 40_000, "rate": 1_001, "threshold": 32_768, "lo": 600, "hi": 1_000},
        {"score": 100, "rate": 600, "threshold": 101, "lo": 600, "hi": 65_534},
        {"score": 65_535, "rate": 0, "threshold": 65_535, "lo": 1, "hi": 1},
    ]
    differences = [
        key.encrypt(pack_report(key.bits, v["score"], v["rate"])).add(
            key.encrypt(pack_range(key.bits, v["threshold"], v["lo"], v["hi"])).negated()
        )
        for v in values
    ]
    at = [RecordingPosition(PSEUDONYM, DAY, i + 1) for i in range(4)]
    ranges = [RangePosition(f"{i:016x}" + RANGE_ID[:16], PSEUDONYM) for i in range(3)]
    bounds = [(32_768, 600, 1_000), (32_768, 1_000, 998)]
    proposed = [private.encrypt(packed_bounds(key.bits, *each)) for each in bounds]
    recordings = [
        Item(at[0], differences[0]),
        Item(at[1], None),
        Item(at[2], differences[1]),
        Item(at[3], differences[2]),
    ]
    checks = [Item(ranges[0], proposed[0]), Item(ranges[1], None), Item(ranges[2], proposed[1])]
    sides = FastInitiator(key, evaluator), FastResponder(private, masks), garbler
    return {
        "recipe": "the masks r are secret('mask', 1000 batch + i, 11) for i = 0, 1, ..., cut "
        "to their lowest 81 bits; the 128 random bits of a batch are secret('check', batch, 16)",
        "p": known["p"],
        "q": known["q"],
        "key_id": key.key_id,
        "mask_key": masks.to_bytes().hex(),
        "recordings": _batch(private, masks, sides, 7, recordings)
        | {"plaintexts": [values[0], None, values[1], values[2]]},
        "ranges": _batch(private, masks, sides, 8, checks)
        | {"bounds": [list(bounds[0]), None, list(bounds[1])]},
    }


def mask_of(batch: int, number: int) -> int:
    """A's r of the `number`-th comparison, or zone, of a batch."""
    return int.from_bytes(secret("mask", 1000 * batch + number, 11), "big") % (1 << 81)


def packed_bounds(bits: int, threshold: int, lo: int, hi: int) -> int:
    """`pack_range` without its checks."""
    zone = 82 * ((bits - 2) // 246)
    return threshold + (lo << zone) + (hi + 1 << 2 * zone)


def _batch(
    private: PrivateKey,
    masks: MaskKey,
    sides: tuple[FastInitiator, FastResponder, GarblerSession],
    number: int,
    items: list[Item],
) -> dict[str, Any]:
    initiator, responder, garbler = sides
    compared = 3 * sum(item.ciphertext is not None for item in items)
    drawn = [mask_of(number, i) for i in range(compared)]
    mask = secret("check", number, 16)
    with patch.object(ot_extension, "secrets", ScriptedMaskOfCheck(mask)):
        request = initiator.request(number, items, random=ScriptedMasks(81, drawn, 81))
    asked = decode_request(request)
    served = responder.answer(garbler, asked)
    results = initiator.finish(request, served.answer)
    answer = decode_answer(served.answer)
    key = private.public
    return {
        "number": number,
        "positions": [write_position(item.position) for item in items],
        "masks": drawn,
        "check_mask": mask.hex(),
        "request": request.hex(),
        "masked_plaintexts": [private.decrypt(c) for c in key.parse_all(asked.masked)],
        "answer": served.answer.hex(),
        "total_plaintexts": [private.decrypt(c) for c in key.parse_all(answer.totals)],
        "steps": [
            masks.step(key, item.position)
            for item in items
            if isinstance(item.position, RecordingPosition)
        ],
        "contributions": [
            private.decrypt(result.contribution) if isinstance(result, Counted) else None
            for result in results
        ],
        "digests_of_a": [
            None if isinstance(result, Counted) or result.digest is None else result.digest.hex()
            for result in results
        ],
        "digests_of_b": [
            served.digests[item.position].hex() if item.position in served.digests else None
            for item in items
        ],
    }


def vectors() -> dict[str, Any]:
    opened = base_transfers()
    played = batches(opened)
    session, bits = Session.of(opened), 16 * len(unb64u(played["p"]))
    for kind, replay in (("recordings", replay_recordings), ("ranges", replay_ranges)):
        played[kind]["intermediate"] = replay(session, played[kind], bits)["intermediate"]
    return {"session": opened, "batches": played}


if __name__ == "__main__":
    paillier.MIN_KEY_BITS = 512
    FILE.write_text(json.dumps(vectors(), indent=1) + "\n")
