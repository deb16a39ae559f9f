"""Where numbers stand in a plaintext, against vectors/packing.json, which the browser reads too."""

from collections.abc import Callable
from typing import Any

import pytest

from crypto.errors import PlaintextOutOfRange
from crypto.opening import recover_counts
from crypto.paillier import PublicKey
from crypto.slots import (
    check_score,
    join,
    max_cells,
    pack_range,
    pack_report,
    rate_count_offset,
    recordings_per_plaintext,
    split,
    zone_bits,
)

FULL = 3072


def test_layout_at_full_length() -> None:
    assert (recordings_per_plaintext(FULL), zone_bits(FULL)) == (12, 984)
    assert (max_cells(FULL), rate_count_offset(FULL)) == (63, 1512)


@pytest.mark.parametrize("bits", [248, 256, 512, 1024, 2048, FULL, 4096, 16384])
def test_everything_fits_below_any_modulus_of_that_length(bits: int) -> None:
    lowest = 1 << (bits - 1)
    recordings = recordings_per_plaintext(bits)
    assert recordings >= 1
    full = (1 << 82) - 1
    assert join([join([full] * recordings, 82)] * 3, zone_bits(bits)) < lowest
    counts = join([(1 << 24) - 1] * max_cells(bits), 24)
    assert counts + (counts << rate_count_offset(bits)) < lowest


def test_a_modulus_too_short_for_a_recording() -> None:
    with pytest.raises(PlaintextOutOfRange, match="248 bits"):
        recordings_per_plaintext(247)
    with pytest.raises(PlaintextOutOfRange):
        pack_report(247, 1, 2)


def test_join_and_split() -> None:
    assert split(join([1, 2, 3], 24), 24, 3) == [1, 2, 3]
    assert split(join([1, 2, 3], 24), 24, 2) == [1, 2]


def test_scores() -> None:
    assert check_score(65_535) == 65_535
    for value in (-1, 65_536):
        with pytest.raises(PlaintextOutOfRange):
            check_score(value)


def test_known_packings(vectors: Callable[[str], Any]) -> None:
    for known in vectors("packing")["recordings"]:
        bits = known["bits"]
        report = pack_report(bits, known["score"], known["rate"])
        bounds = pack_range(bits, known["threshold"], known["lo"], known["hi"])
        assert (f"{report:x}", f"{bounds:x}") == (known["report"], known["bounds"])
        zones = split(report, zone_bits(bits), 3)
        assert zones == [known["score"], known["rate"], known["rate"]]
        zones = split(bounds, zone_bits(bits), 3)
        assert zones == [known["threshold"], known["lo"], known["hi"] + 1]


def test_known_openings(vectors: Callable[[str], Any]) -> None:
    for known in vectors("packing")["openings"]:
        key = PublicKey((1 << known["bits"]) - 1)
        value = int(known["packed"], 16).to_bytes(key.plaintext_bytes, "big")
        recordings = [cell[0] for cell in known["cells"]]
        counts = recover_counts(value, bytes(key.plaintext_bytes), key, recordings)
        assert [[c.sound, c.rate] for c in counts] == [cell[1:] for cell in known["cells"]]


def test_refused_values(vectors: Callable[[str], Any]) -> None:
    for values in vectors("packing")["refused_ranges"]:
        with pytest.raises(PlaintextOutOfRange):
            pack_range(FULL, **values)
    for score, rate in ((-1, 0), (65_536, 0), (0, -1), (0, 65_536)):
        with pytest.raises(PlaintextOutOfRange):
            pack_report(FULL, score, rate)
