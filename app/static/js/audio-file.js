/** A chosen file before anything leaves the browser: is it a recording at all? */

import { HushbeatError } from "./errors.js";

const MEGABYTE = 1_000_000;

/** The bytes of a file that begins like a WAV, FLAC, OGG or MP3, or an error that says why not. */
export async function readRecording(file, maxBytes) {
  if (file.size === 0) throw new HushbeatError("file-empty");
  if (file.size > maxBytes) {
    throw new HushbeatError("file-too-large", { megabytes: Math.floor(maxBytes / MEGABYTE) });
  }
  let bytes;
  try {
    bytes = new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new HushbeatError("file-unreadable");
  }
  if (!looksLikeAudio(bytes)) throw new HushbeatError("not-audio");
  return bytes;
}

function looksLikeAudio(bytes) {
  const begins = (text, at = 0) =>
    [...text].every((character, i) => bytes[at + i] === character.charCodeAt(0));
  const isMp3Frame = bytes[0] === 0xff && (bytes[1] & 0xe0) === 0xe0;
  return (
    (begins("RIFF") && begins("WAVE", 8)) ||
    begins("fLaC") ||
    begins("OggS") ||
    begins("ID3") ||
    isMp3Frame
  );
}
