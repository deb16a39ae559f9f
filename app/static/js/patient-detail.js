/** One patient of a doctor: counts per day over a window, and the healthy range. */

import { showCounts } from "./counts-view.js";
import { currentManifest } from "./manifest.js";
import { openTallies } from "./openings.js";
import { byId, explain, listen, page, t, timeText, tn } from "./page.js";
import { choosePeriod } from "./period.js";
import { confirm, propose, rangeWord } from "./ranges.js";
import { cellsByDay, daysWithRecordings } from "./scope.js";
import { aggregator } from "./servers.js";
import { start } from "./start.js";

const { pseudonym } = page;
const countsStatus = byId("counts-status");
const rangeStatus = byId("range-status");
const form = byId("range-form");
const identity = await start();
const here = identity && identity.state !== "elsewhere";
let newest = 0;
let period;

if (here) {
  choosePeriod((chosen) => {
    period = chosen;
    show();
  });
  listen(byId("open-counts"), "click", show);
  // The browser sends no form with a complaint left on it, so a correction takes it off.
  form.addEventListener("input", () => byId("hi").setCustomValidity(""));
  listen(form, "submit", setRange);
} else {
  byId("findings").hidden = true;
  form.hidden = true;
}
const rangeShown = identity && showRange();

async function show() {
  const turn = ++newest;
  countsStatus.textContent = countsStatus.dataset.busy;
  try {
    const { maxCells } = await currentManifest();
    const days = await daysWithRecordings({ ...period, pseudonym });
    const cells = cellsByDay(pseudonym, days, maxCells);
    const counts = cells.length > 0 ? await openTallies(identity.keys, cells) : [];
    if (turn !== newest) return;
    showCounts(counts);
    countsStatus.textContent = tn("counts.opened", days.length, { time: timeText(Date.now() / 1000) });
  } catch (error) {
    if (turn === newest) countsStatus.textContent = explain(error);
  }
}

/** Says which range is in force, and finishes a proposal of an earlier visit. */
async function showRange() {
  try {
    const { patients } = await aggregator.get("/api/patients");
    const { range } = patients.find((patient) => patient.pseudonym === pseudonym);
    byId("range-now").textContent = t(`range.${rangeWord(range)}-long`);
    if (here && range?.mine && ["proposed", "checked"].includes(range.state)) {
      await finish(range.range);
    }
  } catch (error) {
    rangeStatus.textContent = explain(error);
  }
}

async function setRange(event) {
  event.preventDefault();
  const values = rangeOf(new FormData(form));
  byId("hi").setCustomValidity(values.lo > values.hi ? t("range.order") : "");
  if (!form.reportValidity()) return;
  const button = byId("set-range");
  button.disabled = true;
  try {
    await rangeShown; // it may be finishing an older proposal, whose end is not this one's
    rangeStatus.textContent = t("range.sealing");
    await finish(await propose(identity.keys, pseudonym, values));
  } catch (error) {
    rangeStatus.textContent = explain(error);
  } finally {
    button.disabled = false;
  }
}

async function finish(range) {
  rangeStatus.textContent = t("range.checking");
  const state = await confirm(identity.keys, range);
  rangeStatus.textContent = t(state === "active" ? "range.active" : "range.refused");
  if (state === "active") byId("range-now").textContent = t("range.mine-long");
}

/** Beats per minute to tenths; the threshold is one of the page's choices. */
function rangeOf(data) {
  const tenths = (name) => Math.round(10 * Number(data.get(name)));
  return { threshold: Number(data.get("threshold")), lo: tenths("lo"), hi: tenths("hi") };
}
