/** The list of all recordings, as the aggregator knows them: states, never counts. */

import { byId, dayText, explain, fromTemplate, part, pause, t, timeText, whenVisible } from "./page.js";
import { aggregator } from "./servers.js";
import { FINAL } from "./upload.js";

const BUSY_MS = 1_500;
const IDLE_MS = 15_000;
const SHOWN_AT_FIRST = 20;

/**
 * Polls the recordings. `known` fires after every look; `settled` when recordings were counted
 * since and none is on its way any more. Neither depends on what was found in them.
 */
export class RecordingList extends EventTarget {
  constructor() {
    super();
    this.byId = new Map();
    this.limit = SHOWN_AT_FIRST;
    this.wake = () => {};
    byId("more-recordings").addEventListener("click", () => {
      this.limit = Infinity;
      this.render();
    });
  }

  async follow() {
    let counted;
    for (;;) {
      await whenVisible();
      try {
        await this.look();
        byId("recordings-status").textContent = "";
        const nowCounted = [...this.byId.values()].filter(({ state }) => state === "counted").length;
        if (counted !== undefined && nowCounted > counted && !this.busy) {
          this.dispatchEvent(new Event("settled"));
        }
        if (counted === undefined || !this.busy) counted = nowCounted;
      } catch (error) {
        byId("recordings-status").textContent = explain(error);
        if (error.code === "logged-out") return;
      }
      await Promise.race([
        pause(this.busy ? BUSY_MS : IDLE_MS),
        new Promise((resolve) => (this.wake = resolve)),
      ]);
    }
  }

  get busy() {
    return [...this.byId.values()].some(({ state }) => !FINAL.has(state));
  }

  async look() {
    const { recordings } = await aggregator.get("/api/recordings");
    this.byId = new Map(recordings.map((recording) => [recording.recording, recording]));
    this.render();
    this.dispatchEvent(new Event("known"));
  }

  render() {
    const all = [...this.byId.values()];
    byId("recordings").replaceChildren(...all.slice(0, this.limit).map(item));
    byId("recordings-table").hidden = all.length === 0;
    byId("no-recordings").hidden = all.length > 0;
    byId("more-recordings").hidden = all.length <= this.limit;
  }
}

function item({ day, state, reason, uploaded_at: uploadedAt }) {
  const row = fromTemplate("recording-row", { day: dayText(day), sent: timeText(uploadedAt) });
  showState(part(row, "state"), part(row, "reason"), state, reason);
  return row;
}

/** A recording's state and, if it ended without being counted, why. */
export function showState(stateElement, reasonElement, state, reason) {
  const own = FINAL.has(state) ? state : "waiting";
  stateElement.textContent = t(`state.${own}`);
  stateElement.dataset.state = own;
  reasonElement.textContent = state === "unreadable" || state === "failed" ? reasonText(reason) : "";
}

function reasonText(reason) {
  try {
    return t(`reason.${reason}`);
  } catch {
    return t("reason.other", { reason });
  }
}
