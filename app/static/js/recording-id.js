/** The recording id, derived where the file is: the same file twice is the same recording. */

import { concat, hex, utf8 } from "./bytes.js";

const CONTEXT = utf8("hushbeat/recording-id/v1\0");

export async function recordingId(idKey, fileBytes) {
  const tag = await crypto.subtle.sign("HMAC", idKey, concat(CONTEXT, fileBytes));
  return hex(new Uint8Array(tag, 0, 16));
}
