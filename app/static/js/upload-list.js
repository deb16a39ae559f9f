/** The chosen files on the page: a card each with its picture, day, progress and end. */

import { decode, drawSpectrogram, drawWaveform } from "./audio-view.js";
import { byId, explain, fromTemplate, listen, localDay, number, part, t, tn } from "./page.js";
import { showState } from "./recording-list.js";
import { Upload } from "./upload.js";

const AT_ONCE = 2;
const LONGEST_SECONDS = 120;
const UNDER_WAY = ["sealing", "sending", "delayed"];

export class UploadList {
  constructor(idKey, recordings) {
    this.idKey = idKey;
    this.recordings = recordings;
    this.uploads = [];
    recordings.addEventListener("known", () => this.takeOver());
    const input = byId("files");
    listen(input, "change", () => {
      this.add([...input.files]);
      input.value = ""; // so that the same file can be chosen again after it was removed
    });
    listenToDrops(byId("drop"), (files) => this.add(files));
    byId("send").addEventListener("click", () => this.sendAll());
    window.addEventListener("beforeunload", (event) => {
      const underWay = this.uploads.some(({ state }) => UNDER_WAY.includes(state));
      if (underWay) event.preventDefault();
    });
  }

  async add(files) {
    for (const file of files) {
      const upload = new Upload(file);
      const card = new Card(upload, () => this.remove(upload, card), () => this.send([upload]));
      upload.card = card;
      this.uploads.push(upload);
      byId("uploads").append(card.element);
      await upload.read(this.idKey);
      if (upload.state !== "ready") continue;
      const twin = this.uploads.find((other) => other !== upload && other.id === upload.id);
      const known = this.recordings.byId.get(upload.id);
      if (twin) this.remove(upload, card, t("upload.twice", { name: upload.name }));
      else if (known) upload.follow({ ...known, again: true });
      await card.draw();
    }
    this.refresh();
  }

  remove(upload, card, message = "") {
    this.uploads = this.uploads.filter((other) => other !== upload);
    card.element.remove();
    byId("upload-status").textContent = message;
    this.refresh();
  }

  sendAll() {
    return this.send(this.uploads.filter(({ state }) => state === "ready"));
  }

  /** Sends a few at a time; sending one that is under way already does nothing. */
  async send(uploads) {
    const waiting = [...uploads];
    const lane = async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        await next.send();
        this.refresh();
        this.recordings.wake();
      }
    };
    const lanes = Array.from({ length: AT_ONCE }, lane);
    this.refresh();
    await Promise.all(lanes);
  }

  /** The aggregator's word on recordings that were sent, now or earlier. */
  takeOver() {
    for (const upload of this.uploads) {
      const known = this.recordings.byId.get(upload.id);
      if (!known) continue;
      // A file may have been chosen before it was known which recordings there are.
      if (upload.state === "ready") upload.follow({ ...known, again: true });
      // An answer from before a failed recording was sent again may still come in: look again.
      else if (["waiting", "failed"].includes(upload.state)) upload.follow(known);
    }
    this.refresh();
  }

  refresh() {
    const ready = this.uploads.filter(({ state }) => state === "ready").length;
    const button = byId("send");
    byId("send-bar").hidden = this.uploads.length === 0;
    button.disabled = ready === 0;
    button.textContent = ready > 0 ? tn("upload.send", ready) : t("upload.nothing");
  }
}

/** One file on the page. */
class Card {
  constructor(upload, onRemove, onSend) {
    this.upload = upload;
    this.element = fromTemplate("upload-card", { name: upload.name });
    const day = part(this.element, "day");
    day.value = upload.day;
    day.max = localDay();
    day.addEventListener("change", () => {
      if (day.validity.valid && day.value) upload.day = day.value;
    });
    for (const name of ["remove", "send"]) {
      part(this.element, name).setAttribute("aria-label", t(`upload.${name}-one`, { name: upload.name }));
    }
    part(this.element, "remove").addEventListener("click", onRemove);
    part(this.element, "send").addEventListener("click", onSend);
    upload.addEventListener("change", () => this.render());
    this.render();
  }

  async draw() {
    const figure = part(this.element, "figure");
    const hint = part(this.element, "hint");
    if (!this.element.isConnected) return;
    try {
      const { samples, seconds } = await decode(this.upload.bytes);
      figure.hidden = false;
      part(this.element, "length").textContent = t("upload.seconds", {
        seconds: number(Math.round(seconds * 10) / 10),
      });
      drawWaveform(part(this.element, "waveform"), samples);
      drawSpectrogram(part(this.element, "spectrogram"), samples);
      if (seconds > LONGEST_SECONDS) hint.textContent = t("upload.too-long");
    } catch (error) {
      hint.textContent = explain(error);
    }
  }

  render() {
    const { state, reason, progress, error, again, day } = this.upload;
    const { element } = this;
    element.dataset.state = state;
    const line = part(element, "state");
    const why = part(element, "reason");
    const sent = ["waiting", "counted", "unreadable", "failed"].includes(state);
    if (sent) {
      showState(line, why, state, reason);
    } else {
      line.textContent = t(`upload.${state}`, { percent: number(Math.floor(100 * progress)) });
      line.dataset.state = state;
      why.textContent = error ? explain(error) : "";
    }
    if (again && sent) why.textContent = `${t("upload.again")} ${why.textContent}`;
    const bar = part(element, "progress");
    bar.hidden = ![...UNDER_WAY, "waiting"].includes(state);
    if (state === "sending") bar.value = progress;
    else bar.removeAttribute("value");
    part(element, "day").disabled = state !== "ready";
    part(element, "day").value = day;
    part(element, "send").hidden = state === "ready" || !this.upload.sendable;
    part(element, "remove").hidden = !["refused", "ready", "stopped"].includes(state);
  }
}

function listenToDrops(zone, take) {
  const over = (on) => (event) => {
    event.preventDefault();
    zone.classList.toggle("over", on);
  };
  zone.addEventListener("dragover", over(true));
  zone.addEventListener("dragleave", over(false));
  zone.addEventListener("drop", (event) => {
    over(false)(event);
    take([...event.dataTransfer.files]);
  });
}
