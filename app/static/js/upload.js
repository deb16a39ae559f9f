/**
 * The way of one file: read and shown, then sealed, sent and followed until it is counted or
 * unreadable. A try that the network broke off is repeated with the very same sealed bytes.
 */

import { readRecording } from "./audio-file.js";
import { ProblemError, UnreachableError } from "./errors.js";
import { currentManifest } from "./manifest.js";
import { localDay, page, pause } from "./page.js";
import { recordingId } from "./recording-id.js";
import { recordingInfo, seal } from "./sealing.js";
import { refusal, success } from "./servers.js";

const WAITS_MS = [1_000, 2_000, 4_000, 8_000, 15_000, 30_000];
const STALLED_MS = 60_000;
const BUSY_MS = 15_000; // where the server does not say for how long
const LONGEST_BUSY_MS = 300_000;
const PATIENCE_MS = 3_600_000;

/** States of the server that a recording leaves only if it is sent again. */
export const FINAL = new Set(["counted", "unreadable", "failed"]);

/** Reasons of a failure that sending the same file again can mend. */
const MENDABLE = new Set(["sealed_broken", "quarantined"]);

/**
 * One chosen file. `state` is one of: reading, refused, ready, sealing, sending, delayed (will be
 * tried again by itself), waiting, counted, unreadable, failed, stopped (could not be sent).
 * `change` fires at every step.
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

  /** Whether the file was not sent, or failed in a way that sending it again can mend. */
  get sendable() {
    if (this.state === "failed") return MENDABLE.has(this.reason);
    return this.state === "ready" || this.state === "stopped";
  }

  /** Seals and sends; nothing happens unless the file is `sendable`. */
  async send() {
    if (!this.sendable) return;
    this.become("sealing", { error: undefined, again: false });
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

  /** Tries until the server has the bytes, says no for good, or all patience is used up. */
  async put() {
    const giveUp = Date.now() + PATIENCE_MS;
    let lost = 0;
    for (;;) {
      let wait;
      try {
        return await this.putOnce();
      } catch (error) {
        if (error instanceof UnreachableError) wait = WAITS_MS[lost++];
        else wait = busyFor(error);
        if (wait === undefined || Date.now() + wait > giveUp) throw error;
      }
      this.become("delayed");
      await pause(wait);
      this.become("sending", { progress: 0 });
    }
  }

  /** One PUT; XMLHttpRequest because fetch does not tell how far an upload has come. */
  putOnce() {
    const request = new XMLHttpRequest();
    let stalled;
    const alive = () => {
      clearTimeout(stalled);
      stalled = setTimeout(() => request.abort(), STALLED_MS);
    };
    const answered = new Promise((resolve, reject) => {
      request.upload.onprogress = ({ loaded, total }) => {
        alive();
        this.become("sending", { progress: total ? loaded / total : 0 });
      };
      request.onprogress = alive;
      request.onload = () => resolve();
      request.onerror = request.onabort = () => reject(new UnreachableError("aggregator"));
      request.open("PUT", `/api/recordings/${this.id}?day=${this.day}`);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.setRequestHeader("X-CSRFToken", page.csrf);
      alive();
      request.send(this.sealed);
    });
    return answered.then(() => answerOf(request)).finally(() => clearTimeout(stalled));
  }
}

/** What the server says of the recording, whether it came with this request or was there before. */
function answerOf(request) {
  const { status, responseText: text } = request;
  if (status >= 200 && status < 300) return success(text);
  const refused = refusal("aggregator", status, text, request.getResponseHeader("Retry-After"));
  if (refused.code === "recording-exists") return { ...success(text), again: true };
  throw refused;
}

/** For how long a server that has too much to do wants to be left alone; undefined: it is not that. */
function busyFor(error) {
  if (!(error instanceof ProblemError) || error.status !== 429) return undefined;
  return error.retryAfter === undefined
    ? BUSY_MS
    : Math.min(1000 * error.retryAfter, LONGEST_BUSY_MS);
}

/** The day of the file, which the patient may correct; a clock in the future counts as today. */
function dayOf(file) {
  const day = localDay(new Date(file.lastModified));
  return day > localDay() ? localDay() : day;
}
