"""Somebody who holds all of A, and accounts of every kind besides.

What A has is in the thief's hands: its tallies, ranges and reports, its halves of the sessions of
comparisons with all requests and answers, and its statement key, which signs whatever the thief
likes. The accounts are enrolled at B as anybody's are. B itself runs as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from crypto.comparison.fast import Counted, Item
from crypto.comparison.positions import RecordingPosition
from crypto.encoding import new_id, sha256_hex
from crypto.jws import CollectorKey
from crypto.messages import Cell, CollectorKind, TallyStatement
from crypto.opening import blind_single, unblinded
from crypto.paillier import Ciphertext
from crypto.slots import Counts, rate_count_offset, recordings_per_plaintext
from tests.keyholder.comparing import Comparing
from tests.keyholder.world import DAY, Asked, Party, Tally, World, slug


@dataclass
class Thief:
    """A's keys and data, and an enrolled patient, doctor and clinic of the thief's own."""

    world: World
    patient: Party = field(init=False)
    doctor: Party = field(init=False)
    clinic: Party = field(init=False)

    def __post_init__(self) -> None:
        self.patient = self.world.enrolled(CollectorKind.PATIENT)
        self.doctor = self.world.enrolled(CollectorKind.DOCTOR)
        self.clinic = self.world.enrolled(CollectorKind.CLINIC)
        self.world.granted(self.patient, self.doctor)

    @property
    def accounts(self) -> tuple[Party, Party, Party]:
        return self.patient, self.doctor, self.clinic

    def asks(
        self,
        ciphertext: Ciphertext,
        cells: Sequence[Cell],
        by: Party | None = None,
        *,
        blinded: bool = True,
    ) -> Asked:
        """An opening of any ciphertext under any scope; A's blind is in it, as B demands."""
        sent, blind = ciphertext.rerandomised(), b""
        if blinded:
            sent, blind = blind_single(self.world.keys.paillier.public, ciphertext)
        statement = TallyStatement(
            **self.world._common(by or self.patient),
            ciphertext_sha256=sha256_hex(sent.to_wire()),
            cells=tuple(cells),
        )
        return Asked(self.world, by or self.patient, statement, sent.to_wire(), blind)

    def opens(self, ciphertext: Ciphertext, *cells: Cell) -> int:
        """What comes out under a scope of the thief's own: a number mod n, the blind taken off."""
        asked = self.asks(ciphertext, cells or (self.cell(0),))
        return unblinded(asked.value(asked.send()), asked.blind, self.world.keys.paillier.public)

    def refused(self, ciphertext: Ciphertext, *cells: Cell, by: Party | None = None) -> str:
        """Why B opens nothing."""
        return slug(self.asks(ciphertext, cells, by).send())

    def cell(self, recordings: int, day: str = DAY, of: Party | None = None) -> Cell:
        return Cell(pseudonym=(of or self.patient).collector, days=((day, recordings),))

    def compares(self, ciphertexts: Sequence[Ciphertext]) -> list[tuple[int, int]]:
        """The findings of ciphertexts of any origin, compared under the thief's own pseudonym.

        Each one is sent as the difference of a recording, on a day of its own that nothing was
        compared for, and opened as the thief's count of that day: (sound, rate).
        """
        comparing, public = Comparing(self.world), self.world.keys.paillier.public
        # A number of any size has a plaintext to itself: it would spill into its neighbours.
        beside = recordings_per_plaintext(public.bits) - 1
        findings = []
        for start in range(0, len(ciphertexts), 100):
            # Pseudonyms are A's to name in a comparison, accounts A's to make: here one a hundred.
            owner = self.world.enrolled(CollectorKind.PATIENT)
            items = []
            for i, ciphertext in enumerate(ciphertexts[start : start + 100]):
                items.append(Item(RecordingPosition(owner.collector, _day(i), 1), ciphertext))
                items += [
                    Item(RecordingPosition(new_id(), DAY, 1), public.constant(0))
                    for _ in range(beside)
                ]
            for i, counted in enumerate(comparing.compare(*items)[:: beside + 1]):
                assert isinstance(counted, Counted)
                asked = self.asks(counted.contribution, [self.cell(1, _day(i), owner)], owner)
                number = unblinded(asked.value(asked.send()), asked.blind, public)
                findings.append(split_counts(self.world, number))
        return findings


def split_counts(world: World, number: int) -> tuple[int, int]:
    """The sound and the rate count of a number that was opened as one cell."""
    offset = rate_count_offset(world.keys.paillier.public.bits)
    return number & ((1 << offset) - 1), number >> offset


def packed(world: World, counts: Counts) -> int:
    """Counts as a tally holds them."""
    return counts.sound + (counts.rate << rate_count_offset(world.keys.paillier.public.bits))


def covered(world: World, tally: Tally) -> int:
    """A tally's plaintext, counts and mask: what it is to everybody whom B does not answer."""
    return world.keys.paillier.decrypt(tally.ciphertext)


def mask(world: World, tally: Tally, recordings: int | None = None) -> int:
    """P(n) of the tally's day, which B's mask key alone makes."""
    number = tally.recordings if recordings is None else recordings
    public = world.keys.paillier.public
    return world.keys.masks.total(public, tally.patient.collector, tally.day, number)


def impostor(party: Party) -> Party:
    """Somebody who says to be `party` and has none of its keys."""
    return replace(party, key=CollectorKey.generate())


def _day(i: int) -> str:
    return f"20{10 + i // 28:02}-01-{1 + i % 28:02}"
