"""Many files at once: sealed and sent one after the other, then followed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from tqdm import tqdm  # type: ignore[import-untyped]

from client.collector import Collector
from client.errors import RecordingRefused, TooLarge
from client.uploading import Progress, progress, read_recording, upload, wait_until_finished

SECONDS_A_RECORDING = 120.0
"""How long to wait for each, on average."""


@dataclass
class Transfer:
    """What became of each file. `finished` is in the state of the last look."""

    finished: dict[Path, Progress] = field(default_factory=dict)
    refused: dict[Path, str] = field(default_factory=dict)


def transfer(
    collector: Collector, files: Sequence[Path], day: date, *, wait: bool = True
) -> Transfer:
    """Uploads files with progress bars on stderr; one that is refused does not stop the others.

    Two files of the same bytes are one recording. Raises what else goes wrong, typed.
    """
    result = Transfer()
    recordings: dict[Path, str] = {}
    with tqdm(files, desc="Uploading", unit="file") as bar:
        for path in bar:
            bar.set_postfix_str(path.name)
            try:
                recordings[path] = upload(collector, read_recording(path), day)
            except (RecordingRefused, TooLarge) as error:
                result.refused[path] = str(error)
    if not recordings:
        return result
    states = _follow(collector, list(dict.fromkeys(recordings.values())), wait=wait)
    result.finished = {path: states[recording] for path, recording in recordings.items()}
    return result


def _follow(collector: Collector, ids: Sequence[str], *, wait: bool) -> dict[str, Progress]:
    if not wait:
        return {one.recording: one for one in progress(collector, ids)}
    with tqdm(total=len(ids), desc="Judging", unit="recording") as bar:

        def show(one: Progress) -> None:
            if one.state.final:
                bar.update()

        finished = wait_until_finished(collector, ids, SECONDS_A_RECORDING * len(ids), show)
    return {one.recording: one for one in finished}
