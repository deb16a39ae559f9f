"""`python -m deploy.demo [--recordings FOLDER]`: the last line is JSON, status 0 if it holds."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from client.errors import ClientError
from crypto.errors import CryptoError
from deploy.demo.recordings import NoRecordings, recordings_of, write_synthesised
from deploy.demo.story import Result, tell
from deploy.local.setup import SetupFailed
from deploy.local.supervisor import NotReady
from deploy.local.system import CannotStart


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.demo", description=__doc__)
    parser.add_argument("--recordings", type=Path, help="a folder of .wav, .flac, .ogg, .mp3 files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hushbeat-demo-") as name:
        folder = Path(name)
        try:
            if options.recordings is None:
                say("Synthesising heart sounds, silence and noise.")
                files = write_synthesised(folder / "recordings")
            else:
                files = recordings_of(options.recordings)
            result = tell(folder, files, say)
        except NoRecordings as error:
            say(str(error))
            return 2
        except (ClientError, CryptoError, CannotStart, SetupFailed, NotReady) as error:
            say(f"The demonstration failed. {type(error).__name__}: {error}")
            say_end_of_logs(folder)
            return 1
        except KeyboardInterrupt:
            say("Stopped; nothing is left running.")
            return 130
    return report(result)


def report(result: Result) -> int:
    """Names what does not hold on stderr, prints the line of JSON, gives the exit status."""
    for problem in result.problems:
        say(problem)
    if not result.problems:
        say("All of it holds.")
    sys.stderr.flush()
    print(json.dumps(result.summary()), flush=True)
    return 1 if result.problems else 0


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def say_end_of_logs(folder: Path) -> None:
    """The folder is about to go, so the last lines of each log are shown."""
    for log in sorted(folder.rglob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-15:]
        if lines:
            say(f"--- {log.name}")
            say("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
