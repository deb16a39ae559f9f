/**
 * The way of one file: read and shown, then sealed, sent and followed until it is counted or
 * unreadable. A try that the network broke off is repeated with the very same sealed bytes.
 */

import { readRecording } from "./audio-file.js";
import { HushbeatError, UnreachableError } from "./errors.js";
import { currentManifest } from "./manifest.js";
import { localDay, page, pause } from "./page.js";
import { recordingId } from "./recording-id.js";
import { recordingInfo, seal } from "./sealing.js";
import { refusal } from "./servers.js";

const WAITS_MS = [1_000, 2_000, 4_000, 8_000, 15_000, 30_000];
const STALLED_MS = 60_000;

/** States of the server that a recording does not leave again. */
export const FINAL = new Set(["counted", "unreadable", "failed"]);

/**
 * One chosen file. `state` is one of: reading, refused, ready, sealing, sending, waiting, counted,
 * unreadable, failed, stopped (could not be sent; may be sent again). `change` fires at every step.
 */
export class Upload extends EventTarget {
  constructor(file) {
    super();
    this.file = file;
    this.name = file.name;
    this.state = "reading";
    this.progress = 0;
    this.day = dayOf(file);
  }

  async read(idKey) {
    try {
      this.bytes = await readRecording(this.file, page.limits.maxUploadBytes);
      this.id = await recordingId(idKey, this.bytes);
      this.become("ready");
    } catch (error) {
      this.become("refused", { error });
    }
  }

  /** Seals and sends; nothing happens unless the file is ready or was stopped by an error. */
  async send() {
    if (this.state !== "ready" && this.state !== "stopped") return;
    this.become("sealing", { error: undefined });
    try {
      this.sealed ??= await this.sealedBytes();
      this.become("sending", { progress: 0 });
      this.follow(await this.put());
    } catch (error) {
      this.become("stopped", { error });
    }
  }

  /** Takes over what the server says about this recording. */
  follow({ state, reason, day, again = this.again }) {
    this.sealed = undefined;
    this.become(FINAL.has(state) ? state : "waiting", { reason, day: day ?? this.day, again });
  }

  become(state, more = {}) {
    Object.assign(this, more, { state });
    this.dispatchEvent(new Event("change"));
  }

  async sealedBytes() {
    const { sealingKey } = await currentManifest();
    const info = recordingInfo(this.id, page.account.collector);
    return seal(sealingKey, info, this.bytes);
  }

  async put() {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.putOnce();
      } catch (error) {
        if (!(error instanceof UnreachableError) || attempt === WAITS_MS.length) throw error;
        this.become("sending", { progress: 0 });
        await pause(WAITS_MS[attempt]);
      }
    }
  }

  /** One PUT; XMLHttpRequest because fetch does not tell how far an upload has come. */
  putOnce() {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      let stalled;
      const alive = () => {
        clearTimeout(stalled);
        stalled = setTimeout(() => request.abort(), STALLED_MS);
      };
      request.upload.onprogress = ({ loaded, total }) => {
        alive();
        this.become("sending", { progress: total ? loaded / total : 0 });
      };
      request.onloadend = () => clearTimeout(stalled);
      request.onerror = request.onabort = () => reject(new UnreachableError("aggregator"));
      request.onload = () => {
        const answer = parsed(request.responseText);
        if (request.status < 300) resolve(answer);
        else if (answer.type?.endsWith(":recording-exists")) resolve({ ...answer, again: true });
        else reject(refusal("aggregator", request.status, answer));
      };
      request.open("PUT", `/api/recordings/${this.id}?day=${this.day}`);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.setRequestHeader("X-CSRFToken", page.csrf);
      alive();
      request.send(this.sealed);
    });
  }
}

/** The day of the file, which the patient may correct; a clock in the future counts as today. */
function dayOf(file) {
  const day = localDay(new Date(file.lastModified));
  return day > localDay() ? localDay() : day;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new HushbeatError("bad-message");
  }
}
