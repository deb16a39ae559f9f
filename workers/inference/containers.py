"""What an audio file claims about itself, checked against its bytes before any decoder runs.

WAV: Multimedia Programming Interface and Data Specifications 1.0 (1991) and Microsoft's
WAVE_FORMAT_EXTENSIBLE. FLAC: RFC 9639. OGG: RFC 3533 with Vorbis I and Opus (RFC 7845).
"""

from __future__ import annotations

import enum
import struct
from typing import ClassVar

MIN_RATE, MAX_RATE = 500, 192_000
"""Hz."""
MAX_CHANNELS = 8
MAX_SECONDS = 120


class AudioReason(enum.StrEnum):
    """Why a file could not be read; stable, shown to the patient through translations."""

    NOT_AUDIO = "not_audio"
    UNSUPPORTED = "unsupported"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    BAD_HEADER = "bad_header"
    CHANNELS = "channels"
    SAMPLE_RATE = "sample_rate"
    TOO_LONG = "too_long"
    NOT_FINITE = "not_finite"


class AudioError(Exception):
    """A file that cannot be read; ``str()`` says what was wrong and what to do, no contents."""

    reason: ClassVar[AudioReason]


class NotAudio(AudioError):
    """No audio file, or one that no decoder understands."""

    reason = AudioReason.NOT_AUDIO


class Unsupported(AudioError):
    """Audio, but of an encoding that is not accepted."""

    reason = AudioReason.UNSUPPORTED


class Empty(AudioError):
    """No bytes, or no samples."""

    reason = AudioReason.EMPTY


class Truncated(AudioError):
    """Fewer bytes or samples than the header announces."""

    reason = AudioReason.TRUNCATED


class BadHeader(AudioError):
    """A header that contradicts itself or the file."""

    reason = AudioReason.BAD_HEADER


class ChannelsRefused(AudioError):
    """None or too many channels."""

    reason = AudioReason.CHANNELS


class SampleRateRefused(AudioError):
    """A sample rate that no stethoscope or sound card has."""

    reason = AudioReason.SAMPLE_RATE


class TooLong(AudioError):
    """Longer than MAX_SECONDS."""

    reason = AudioReason.TOO_LONG


class NotFinite(AudioError):
    """NaN, infinity, or numbers beyond any recorder's."""

    reason = AudioReason.NOT_FINITE


class Container(enum.Enum):
    """The accepted file formats."""

    WAV = enum.auto()
    FLAC = enum.auto()
    OGG = enum.auto()
    MP3 = enum.auto()


TRUNCATED = "The file ends before its sound does: its upload or saving broke off. Upload it again."
TOO_LONG = f"The recording is longer than {MAX_SECONDS} s. Upload a shorter one."
_BAD = "The file's header contradicts the file: {what}. Export it again as 16-bit WAV."
_UNSUPPORTED = "{what} cannot be read. Export the recording as 16-bit WAV."

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_BITS = {_PCM: (8, 16, 24, 32), _FLOAT: (32, 64)}
_SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")


def check_container(data: bytes) -> Container:
    """Recognises the format by its first bytes and checks its header.

    Raises AudioError: Empty, NotAudio, Unsupported, BadHeader, Truncated, ChannelsRefused,
    SampleRateRefused or TooLong.
    """
    if not data:
        raise Empty("The file is empty. Record again.")
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        _check_wav(data)
        return Container.WAV
    if data[:4] == b"fLaC":
        _check_flac(data)
        return Container.FLAC
    if data[:4] == b"OggS":
        _check_ogg(data)
        return Container.OGG
    if data[:3] == b"ID3" or _is_mp3_frame(data[:4]):
        _check_mp3(data)
        return Container.MP3
    if data[:4] in (b"RIFX", b"RF64", b"FORM", b"riff", b".snd", b"caff"):
        raise Unsupported(_UNSUPPORTED.format(what="This audio format"))
    if data[4:8] == b"ftyp" or data[:4] == b"\x1aE\xdf\xa3":
        raise Unsupported(_UNSUPPORTED.format(what="MP4, M4A and WebM"))
    raise NotAudio("The file is no audio. Choose a WAV, FLAC, OGG or MP3 recording.")


def check_rate(rate: int) -> None:
    """Raises SampleRateRefused outside 500 Hz..192 kHz."""
    if not MIN_RATE <= rate <= MAX_RATE:
        raise SampleRateRefused(
            f"The sample rate is {rate} Hz; {MIN_RATE} to {MAX_RATE} Hz can be read. "
            "Export the recording as 16-bit WAV."
        )


def check_channels(channels: int) -> None:
    """Raises ChannelsRefused outside 1..8."""
    if not 1 <= channels <= MAX_CHANNELS:
        raise ChannelsRefused(
            f"The file has {channels} channels; 1 to {MAX_CHANNELS} can be read. "
            "Export the recording as mono WAV."
        )


def check_length(frames: int, rate: int) -> None:
    """Raises TooLong above MAX_SECONDS."""
    if frames > MAX_SECONDS * rate:
        raise TooLong(TOO_LONG)


def _check_wav(data: bytes) -> None:
    """Walks the RIFF chunks: sizes, then the format, then the sound's length."""
    declared = struct.unpack_from("<I", data, 4)[0] + 8
    if declared > len(data) + 1:  # a missing pad byte at the end is common and harmless
        raise Truncated(TRUNCATED)
    if declared < len(data) - 1:
        raise BadHeader(_BAD.format(what="it is longer than it says"))
    layout: tuple[int, int] | None = None
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        body = at + 8
        if body + size > len(data):
            raise Truncated(TRUNCATED)
        if name == b"fmt ":
            if layout is not None:
                raise BadHeader(_BAD.format(what="it has two formats"))
            layout = _check_wav_format(data[body : body + size])
        elif name == b"data":
            if layout is None:
                raise BadHeader(_BAD.format(what="its format is missing"))
            rate, frame_bytes = layout
            if size < frame_bytes:
                raise Empty("The file holds no sound. Record again.")
            if size % frame_bytes:
                raise BadHeader(_BAD.format(what="its last sample is cut"))
            check_length(size // frame_bytes, rate)
            return
        at = body + size + size % 2
    raise Truncated(TRUNCATED)


def _check_wav_format(fmt: bytes) -> tuple[int, int]:
    """The sample rate in Hz and the bytes of one frame; raises AudioError."""
    if len(fmt) < 16:
        raise BadHeader(_BAD.format(what="its format is too short"))
    code, channels, rate, byte_rate, frame_bytes, bits = struct.unpack_from("<HHIIHH", fmt)
    if code == _EXTENSIBLE:
        if len(fmt) < 40:
            raise BadHeader(_BAD.format(what="its format is too short"))
        if fmt[26:40] != _SUBFORMAT_TAIL:
            raise Unsupported(_UNSUPPORTED.format(what="This WAV encoding"))
        code = struct.unpack_from("<H", fmt, 24)[0]
    if code not in _BITS:
        raise Unsupported(_UNSUPPORTED.format(what="This WAV encoding"))
    check_channels(channels)
    check_rate(rate)
    if bits not in _BITS[code]:
        raise Unsupported(_UNSUPPORTED.format(what=f"WAV of {bits} bits a sample"))
    if frame_bytes != channels * bits // 8 or byte_rate != rate * frame_bytes:
        raise BadHeader(_BAD.format(what="its sizes do not fit together"))
    return rate, frame_bytes


def _check_flac(data: bytes) -> None:
    """STREAMINFO, RFC 9639 section 8.2; frames are checked by the decoder."""
    if len(data) < 42:
        raise Truncated(TRUNCATED)
    if data[4] & 0x7F or int.from_bytes(data[5:8], "big") != 34:
        raise BadHeader(_BAD.format(what="its stream information is missing"))
    packed = int.from_bytes(data[18:26], "big")
    rate = packed >> 44
    check_rate(rate)
    check_channels((packed >> 41 & 7) + 1)
    check_length(packed & (1 << 36) - 1, rate)


def _check_ogg(data: bytes) -> None:
    """First page: codec, channels, rate. Last page: complete and marked as the end."""
    if len(data) < 27:
        raise Truncated(TRUNCATED)
    packet = data[27 + data[26] :][:64]
    if packet[:7] == b"\x01vorbis" and len(packet) >= 16:
        channels, rate = struct.unpack_from("<BI", packet, 11)
    elif packet[:8] == b"OpusHead" and len(packet) >= 19:
        channels, rate = packet[9], 48_000
    else:
        raise Unsupported(_UNSUPPORTED.format(what="This OGG encoding"))
    check_channels(channels)
    check_rate(rate)
    at = data.rfind(b"OggS")
    if at + 27 > len(data):
        raise Truncated(TRUNCATED)
    segments = data[at + 27 : at + 27 + data[at + 26]]
    if len(segments) < data[at + 26] or at + 27 + len(segments) + sum(segments) > len(data):
        raise Truncated(TRUNCATED)
    if not data[at + 5] & 4:
        raise Truncated(TRUNCATED)
    granule = struct.unpack_from("<q", data, at + 6)[0]
    check_length(granule, rate)


def _check_mp3(data: bytes) -> None:
    """The byte count of the Xing/Info tag, where there is one; lengths may be a little odd."""
    start = 0
    if data[:3] == b"ID3":
        if len(data) < 10:
            raise Truncated(TRUNCATED)
        start = 10 + sum((byte & 0x7F) << 7 * (3 - i) for i, byte in enumerate(data[6:10]))
    if start + 4 > len(data):
        raise Truncated(TRUNCATED)
    head = data[start : start + 200]
    at = max(head.find(b"Xing"), head.find(b"Info"))
    if at < 0 or at + 16 > len(head) or not head[at + 7] & 2:
        return
    # The byte count follows the frame count, where flag 1 says there is one.
    announced = struct.unpack_from(">I", head, at + (12 if head[at + 7] & 1 else 8))[0]
    if announced > 1.02 * (len(data) - start):
        raise Truncated(TRUNCATED)


def _is_mp3_frame(head: bytes) -> bool:
    """Whether four bytes are an MPEG audio layer III frame header with a real rate and bit rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    return version != 1 and layer == 1 and head[2] >> 4 not in (0, 15) and head[2] >> 2 & 3 != 3
