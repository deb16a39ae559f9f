"""Makes vectors/fast_refusals.json anew: `python -m tests.crypto.make_fast_refusals`.

Each case is a change to a message of vectors/fast_comparison.json and the error that it must end
in. A change is one of: `set` a field (a path of names and indexes) to a value, where bytes are
{"hex": ...}; `remove` a field; `add` an element to an array; `flip` a bit of a field; `keep` that
many bytes of the message, from the start or to the end; `append` bytes; `raw`, another message.
"""

import json
from pathlib import Path
from typing import Any

from crypto import paillier
from crypto.encoding import unb64u
from crypto.keyholder.private_key import PrivateKey
from tests.crypto import by_hand

FILE = Path(__file__).parent / "vectors" / "fast_refusals.json"
KNOWN = Path(__file__).parent / "vectors" / "fast_comparison.json"

ENCODING, RANGE = "InvalidEncoding", "CiphertextOutOfRange"
VIOLATION, CHECK = "ProtocolViolation", "TransferCheckFailed"


def requests(private: PrivateKey) -> list[dict[str, Any]]:
    """What B must refuse, all of it."""
    key = private.public
    width = key.ciphertext_bytes
    small = key.encrypt(sum((1 << 40) + place << 82 * place for place in range(6))).to_wire()

    def case(name: str, error: str, **change: Any) -> dict[str, Any]:
        return {"name": name, "of": "recordings", "error": error, **change}

    def value(name: str, error: str, path: list[Any], new: Any) -> dict[str, Any]:
        return case(name, error, set=[path, new])

    array_claim = "8aa176 02 a9706f736974696f6e73 dd7fffffff".replace(" ", "")
    bin_claim = "8aa176 02 a7636f6c756d6e73 c6ffffffff".replace(" ", "")
    return [
        value("of another session", VIOLATION, ["session"], {"hex": "00" * 16}),
        value("of another batch", CHECK, ["batch"], 9),
        value("a batch beyond the last", ENCODING, ["batch"], 1 << 32),
        value("a batch below the first", ENCODING, ["batch"], -1),
        value("a batch that is no number", ENCODING, ["batch"], True),
        value("of the version before", ENCODING, ["v"], 1),
        value("a version that is no number", ENCODING, ["v"], 2.0),
        value("under another key", "ForeignKey", ["key_id"], {"hex": "00" * 32}),
        value("a key id too short", ENCODING, ["key_id"], {"hex": "00" * 31}),
        case("without its check", ENCODING, remove="check"),
        value("with another field", ENCODING, ["more"], 1),
        case("cut by a byte", ENCODING, keep=-1),
        case("cut in the middle", ENCODING, keep=1000),
        case("empty", ENCODING, raw=""),
        case("followed by a byte", ENCODING, append="c0"),
        case("no map", ENCODING, raw="93010203"),
        case("a name twice", ENCODING, raw="82a17602a17602"),
        case("2^31 - 1 positions claimed", ENCODING, raw=array_claim),
        case("4 GiB of columns claimed", ENCODING, raw=bin_claim),
        value("257 positions", ENCODING, ["positions"], [["range", "0" * 32, "0" * 32]] * 257),
        value("257 ciphertexts", ENCODING, ["masked"], [{"hex": "01"}] * 257),
        value("no position", ENCODING, ["positions"], []),
        case("a position twice", ENCODING, add=["positions", ["range", "0" * 32, "1" * 32], 2]),
        value("a position of no kind", ENCODING, ["positions", 0, 0], "tally"),
        value("a position without its number", ENCODING, ["positions", 0], ["recording"]),
        value("a day that is not", ENCODING, ["positions", 0, 2], "2026-02-30"),
        value("recording 0", ENCODING, ["positions", 0, 3], 0),
        value("a recording beyond the last", ENCODING, ["positions", 0, 3], 1 << 24),
        value("void out of range", ENCODING, ["void"], [4]),
        value("void below range", ENCODING, ["void"], [-1]),
        value("void in another order", ENCODING, ["void"], [2, 1]),
        value("void twice", ENCODING, ["void"], [1, 1]),
        value("more void than masked for", ENCODING, ["void"], [1, 2]),
        value("void and compared exchanged", CHECK, ["columns"], {"flipped": "columns"}),
        value("a masked number of no bytes", ENCODING, ["masked", 0], {"hex": ""}),
        value("a masked number too short", ENCODING, ["masked", 0], {"hex": "01"}),
        value("a masked number too long", ENCODING, ["masked", 0], {"hex": "00" * (width + 1)}),
        value("a masked 0", RANGE, ["masked", 0], {"hex": "00" * width}),
        value("a masked n^2", RANGE, ["masked", 1], {"hex": (key.n**2).to_bytes(width).hex()}),
        value("a masked n", RANGE, ["masked", 1], {"hex": key.n.to_bytes(width).hex()}),
        value("a masked multiple of p", RANGE, ["masked", 0], {"hex": multiple_of_p(private)}),
        case("a masked number too many", VIOLATION, add=["masked", {"hex": "00" * width}, 1]),
        value("a masked number too few", VIOLATION, ["masked"], [{"hex": small.hex()}]),
        value("a mask forgotten", "MaskForgotten", ["masked", 0], {"hex": small.hex()}),
        case("a bit of the columns turned", CHECK, flip=["columns", 0]),
        case("another bit of the columns turned", CHECK, flip=["columns", 9_999]),
        case("a bit of the check turned", CHECK, flip=["check", 5]),
        case("a bit of the check's digest turned", CHECK, flip=["check", 200]),
        value("no columns", ENCODING, ["columns"], {"hex": ""}),
        value("a check too short", ENCODING, ["check"], {"hex": "00" * 47}),
        value("settled without a number", ENCODING, ["settled"], [[{"hex": "00" * 16}]]),
        value("settled of no session", ENCODING, ["settled"], [[{"hex": "00" * 15}, 1]]),
    ]


def multiple_of_p(private: PrivateKey) -> str:
    width = private.public.ciphertext_bytes
    return int(private._p * 12_345).to_bytes(width, "big").hex()


def answers(private: PrivateKey) -> list[dict[str, Any]]:
    """What A must refuse to use."""
    key = private.public
    width = key.ciphertext_bytes

    def case(name: str, error: str, **change: Any) -> dict[str, Any]:
        return {"name": name, "of": "recordings", "error": error, **change}

    def value(name: str, error: str, path: list[Any], new: Any) -> dict[str, Any]:
        return case(name, error, set=[path, new])

    return [
        value("of the version before", ENCODING, ["v"], 1),
        case("without corrections", ENCODING, remove="corrections"),
        value("with another field", ENCODING, ["more"], 1),
        case("cut by a byte", ENCODING, keep=-1),
        case("empty", ENCODING, raw=""),
        case("followed by a byte", ENCODING, append="c0"),
        case("2^31 - 1 totals claimed", ENCODING, raw="84a17602a6746f74616c73dd7fffffff"),
        case("4 GiB of tables claimed", ENCODING, raw="84a17602a67461626c6573c6ffffffff"),
        value("no tables", VIOLATION, ["tables"], {"hex": ""}),
        value("a table too few", VIOLATION, ["tables"], {"hex": "00" * 16 * 287}),
        value("a table too many", VIOLATION, ["tables"], {"hex": "00" * 16 * 289}),
        value("tables of another type", ENCODING, ["tables"], "text"),
        value("a correction too few", VIOLATION, ["corrections"], {"hex": "00" * 64}),
        value("half a correction", VIOLATION, ["corrections"], {"hex": "00" * 76}),
        value("a total too few", VIOLATION, ["totals"], [{"hex": "01" * width}] * 3),
        value("a total too many", VIOLATION, ["totals"], [{"hex": "01" * width}] * 5),
        value("257 totals", ENCODING, ["totals"], [{"hex": "01"}] * 257),
        value("a total too short", ENCODING, ["totals", 0], {"hex": "01"}),
        value("a total of 0", RANGE, ["totals", 2], {"hex": "00" * width}),
        value("a total of n^2", RANGE, ["totals", 3], {"hex": (key.n**2).to_bytes(width).hex()}),
        value("a total of n", RANGE, ["totals", 0], {"hex": key.n.to_bytes(width).hex()}),
        {
            "name": "the answer to another batch",
            "of": "recordings",
            "error": VIOLATION,
            "raw": {"answer_of": "ranges"},
        },
    ]


def session_requests() -> list[dict[str, Any]]:
    """What B must refuse to open."""
    p = by_hand.ffdhe3072()

    def element(name: str, number: int) -> dict[str, Any]:
        new = {"hex": number.to_bytes(384, "big").hex()}
        return {"name": name, "error": ENCODING, "set": [["element"], new]}

    return [
        element("the element 0", 0),
        element("the element 1", 1),
        element("the element p - 1", p - 1),
        element("the element p", p),
        element("the element p + 4", p + 4),
        element("no square", p - 4),
        {"name": "an element too short", "error": ENCODING, "set": [["element"], {"hex": "04"}]},
        {"name": "a session too short", "error": ENCODING, "set": [["session"], {"hex": "04"}]},
        {"name": "an element in text", "error": ENCODING, "set": [["element"], "4"]},
        {"name": "without element", "error": ENCODING, "remove": "element"},
        {"name": "with another field", "error": ENCODING, "set": [["more"], 1]},
        {"name": "cut by a byte", "error": ENCODING, "keep": -1},
        {"name": "followed by a byte", "error": ENCODING, "append": "c0"},
        {"name": "empty", "error": ENCODING, "raw": ""},
        {"name": "a session twice", "error": ENCODING, "raw": "82" + 2 * ("a773657373696f6ec0")},
        {
            "name": "4 GiB of element claimed",
            "error": ENCODING,
            "raw": "82a7656c656d656e74c6ffffffff",
        },
    ]


def session_answers() -> list[dict[str, Any]]:
    """What A must refuse: elements of the answer put in place of the ones at an index."""
    p = by_hand.ffdhe3072()
    numbers = {"0": 0, "1": 1, "p - 1": p - 1, "p": p, "no square": p - 4}
    return [
        {"name": f"{name} as element {at}", "at": at, "element": number.to_bytes(384, "big").hex()}
        for name, number in numbers.items()
        for at in (0, 255)
    ]


if __name__ == "__main__":
    paillier.MIN_KEY_BITS = 512
    known = json.loads(KNOWN.read_text())["batches"]
    its = PrivateKey(*(int.from_bytes(unb64u(known[name]), "big") for name in "pq"))
    cases = {
        "requests": requests(its),
        "answers": answers(its),
        "session_requests": session_requests(),
        "session_answers": session_answers(),
    }
    FILE.write_text(json.dumps(cases, indent=1) + "\n")
