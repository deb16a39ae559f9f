"""Makes vectors/transcript.json anew: `python -m tests.crypto.make_transcript`.

For when a message of the reference engine, or the noise of an encryption, changes on purpose.
"""

import json
from pathlib import Path
from typing import Any

from crypto import paillier
from crypto.comparison.positions import RecordingPosition
from crypto.comparison.reference import CiphertextRows, FirstItem, ReferenceInitiator, SecondItem
from crypto.encoding import unb64u
from crypto.findings import FindingInputs
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.keyholder.reference import ReferenceResponder
from crypto.slots import pack_range, pack_report

FILE = Path(__file__).parent / "vectors" / "transcript.json"


def transcript(known: dict[str, Any]) -> dict[str, Any]:
    """The same recording, seeds and keys, played again."""
    private = PrivateKey(*(int.from_bytes(unb64u(known[name]), "big") for name in ("p", "q")))
    key, masks = private.public, MaskKey(bytes.fromhex(known["mask_key"]))
    at = RecordingPosition(*known["position"][1:])
    values = known["plaintexts"]
    inputs = FindingInputs(
        private.encrypt(pack_report(key.bits, values["score"], values["rate"])),
        private.encrypt(pack_range(key.bits, values["threshold"], values["lo"], values["hi"])),
    )
    seed = bytes.fromhex(known["initiator_seed"])
    initiator = ReferenceInitiator(key, at, inputs.differences(key), seed)
    responder = ReferenceResponder(private, masks)
    count, masked = initiator.first()
    first = responder.first(FirstItem(at, count, masked))
    tests = initiator.second(first)
    second = responder.second(SecondItem(at, count, masked, tests))
    check = known["mask_of_range"]
    return known | {
        "key_id": key.key_id,
        "inputs": {
            "report": inputs.report.to_bytes().hex(),
            "bounds": inputs.bounds.to_bytes().hex(),
        },
        "masked": masked.hex(),
        "masks": initiator._masks,
        "first_answer": _hex(first.bits),
        "tests": _hex(tests),
        "second_answer": {"bits": _hex((second.bits or (),))[0], "mask": second.mask.hex()},
        "bits": [private.decrypt(bit) for bit in initiator.bits(second)],
        "mask_totals": {
            number: masks.total(key, at.pseudonym, at.day, int(number))
            for number in known["mask_totals"]
        },
        "mask_step": masks.step(key, at),
        "mask_of_range": check | {"value": masks.check(key, check["range"], check["pseudonym"])},
    }


def _hex(rows: CiphertextRows) -> list[list[str]]:
    return [[cell.hex() for cell in row] for row in rows]


if __name__ == "__main__":
    paillier.MIN_KEY_BITS = 512
    FILE.write_text(json.dumps(transcript(json.loads(FILE.read_text())), indent=1) + "\n")
