"""A whole batch played with `by_hand`, from the numbers that stand in the known-answer vectors."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.crypto import by_hand

L = 16
SLOT = 82
RANGE_WIDTH = 84


@dataclass(frozen=True)
class Session:
    """Both sides' secrets."""

    name: bytes
    pairs: list[tuple[bytes, bytes]]
    seeds: list[bytes]
    offset: int

    @classmethod
    def of(cls, known: dict[str, Any]) -> "Session":
        return cls(
            bytes.fromhex(known["session"]),
            [(bytes.fromhex(a), bytes.fromhex(b)) for a, b in known["pairs"]],
            [bytes.fromhex(seed) for seed in known["chosen"]],
            int.from_bytes(bytes.fromhex(known["offset"]), "little"),
        )


@dataclass(frozen=True)
class Transferred:
    """What A sends for its bits, and each side's labels."""

    columns: bytes
    check: bytes
    labels: list[int]
    zeros: list[int]


def transfer(session: Session, batch: int, bits: Sequence[int], mask: bytes) -> Transferred:
    columns, check, labels = by_hand.send_bits(session.name, batch, session.pairs, bits, mask)
    zeros, hashes, _ = by_hand.receive_bits(
        session.name, batch, session.seeds, session.offset, columns, len(bits)
    )
    assert by_hand.check_agrees(hashes, session.offset, check)
    return Transferred(columns, check, labels, zeros)


def bits_of(number: int, width: int) -> list[int]:
    return [number >> place & 1 for place in range(width)]


def recording_slots(key_bits: int, recordings: int) -> list[tuple[int, int]]:
    """Plaintext and first bit of each comparison."""
    most = (key_bits - 2) // (3 * SLOT)
    return [
        (k // most, z * SLOT * most + k % most * SLOT) for k in range(recordings) for z in range(3)
    ]


def replay_recordings(session: Session, known: dict[str, Any], key_bits: int) -> dict[str, Any]:
    """Everything that both sides make of the masks and of what B decrypts."""
    batch, r = known["number"], known["masks"]
    slots = recording_slots(key_bits, len(r) // 3)
    d = [known["masked_plaintexts"][p] >> first & (1 << SLOT) - 1 for p, first in slots]
    bits = [bit for number in r for bit in bits_of(number, L + 1)]
    sent = transfer(session, batch, bits, bytes.fromhex(known["check_mask"]))
    key = by_hand.garbling_key(session.name, batch)
    tables, corrections, outputs, shares_b, shares_a = [], b"", [], [], []
    for comparison, number in enumerate(d):
        wires = slice(comparison * (L + 1), comparison * (L + 1) + L)
        table, carry = by_hand.garble(
            key, session.offset, comparison, sent.zeros[wires], bits_of(number, L)
        )
        output = carry ^ sent.zeros[wires.stop] ^ (session.offset if number >> L & 1 else 0)
        s, correction = by_hand.share(key, session.offset, comparison, output)
        label = by_hand.evaluate(key, comparison, sent.labels[wires], table)
        label ^= sent.labels[wires.stop]
        assert label in (output, output ^ session.offset)
        tables.append(table)
        corrections += correction.to_bytes(8, "little")
        outputs.append(output)
        shares_b.append(s)
        shares_a.append(by_hand.opened_share(key, comparison, label, correction))
    return {
        "sent": sent,
        "tables": _in_order(tables),
        "corrections": corrections,
        "intermediate": {
            "garbling_key": key.hex(),
            "first_label_of_a": _hex(sent.labels[0]),
            "first_zero_label_of_b": _hex(sent.zeros[0]),
            "first_gate": [_hex(block) for block in tables[0][0]],
            "zero_labels_of_results": [_hex(output) for output in outputs],
            "shares_of_b": shares_b,
            "shares_of_a": shares_a,
        },
    }


def replay_ranges(session: Session, known: dict[str, Any], key_bits: int) -> dict[str, Any]:
    """The same of range checks: digests in place of shares."""
    batch = known["number"]
    zone = SLOT * ((key_bits - 2) // (3 * SLOT))
    a_inputs, b_inputs = [], []
    for place, number in enumerate(known["masked_plaintexts"]):
        r = known["masks"][3 * place : 3 * place + 3]
        d = [number >> zone * z & (1 << zone) - 1 for z in range(3)]
        assert max(d) < 1 << SLOT
        for z in range(3):
            a_inputs += [r[z] + (1 << L), r[z]]
            b_inputs += [d[z], d[z]]
        a_inputs.append(r[1] - r[2] + (1 << SLOT + 1))
        b_inputs.append(d[1] - d[2] + (1 << SLOT + 1))
    bits = [bit for number in a_inputs for bit in bits_of(number, RANGE_WIDTH)]
    sent = transfer(session, batch, bits, bytes.fromhex(known["check_mask"]))
    key = by_hand.garbling_key(session.name, batch)
    tables, at_a, at_b = [], [], []
    for comparison, number in enumerate(b_inputs):
        wires = slice(comparison * RANGE_WIDTH, (comparison + 1) * RANGE_WIDTH)
        table, zero = by_hand.garble(
            key, session.offset, comparison, sent.zeros[wires], bits_of(number, RANGE_WIDTH)
        )
        tables.append(table)
        at_b.append(zero)
        at_a.append(by_hand.evaluate(key, comparison, sent.labels[wires], table))
    facts_a = [_facts(at_a[at : at + 7]) for at in range(0, len(at_a), 7)]
    facts_b = [
        [label ^ session.offset for label in _facts(at_b[at : at + 7])]
        for at in range(0, len(at_b), 7)
    ]
    return {
        "sent": sent,
        "tables": _in_order(tables),
        "intermediate": {
            "garbling_key": key.hex(),
            "first_label_of_a": _hex(sent.labels[0]),
            "first_zero_label_of_b": _hex(sent.zeros[0]),
            "first_gate": [_hex(block) for block in tables[0][0]],
            "labels_of_a": [[_hex(label) for label in facts] for facts in facts_a],
            "labels_of_true": [[_hex(label) for label in facts] for facts in facts_b],
        },
    }


def range_digest(key_id: str, range_id: str, pseudonym: str, labels: Sequence[str]) -> str:
    name = f"hushbeat/range-check/v1\0{key_id}\0{range_id}\0{pseudonym}\0"
    return hashlib.sha256(name.encode() + bytes.fromhex("".join(labels))).hexdigest()


def _facts(less: Sequence[int]) -> list[int]:
    return [less[0] ^ less[1], less[2] ^ less[3], less[4] ^ less[5], less[6]]


def _in_order(tables: Sequence[Sequence[tuple[int, int]]]) -> bytes:
    """By bit, then half, then comparison."""
    levels = zip(*tables, strict=True)
    return b"".join(
        pair[half].to_bytes(16, "little") for level in levels for half in (0, 1) for pair in level
    )


def _hex(block: int) -> str:
    return block.to_bytes(16, "little").hex()
