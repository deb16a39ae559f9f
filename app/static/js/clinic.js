/** The clinic's page: own code, the roster of a month, and the figures of months that are over. */

import { bringRosters, fixRoster, isKept, openCohort, ownCohorts } from "./cohorts.js";
import { showOwnCode } from "./copy.js";
import { byId, explain, fromTemplate, monthText, now, number, part, t, timeText, tn } from "./page.js";
import { aggregator } from "./servers.js";
import { start } from "./start.js";

const status = byId("cohorts-status");
const rosterStatus = byId("roster-status");
const identity = await start();
const here = identity && identity.state !== "elsewhere";
let least = Infinity;

if (here) await showOwnCode(identity.keys.root);
if (identity) {
  byId("roster-form").addEventListener("submit", askWhetherToFix);
  byId("roster-form").addEventListener("change", showChosen);
  byId("all").addEventListener("change", chooseAll);
  byId("fix").addEventListener("click", fix);
  byId("not-yet").addEventListener("click", () => ask(false));
  await show();
}

async function show() {
  status.textContent = status.dataset.busy;
  try {
    const { months, patients, rosters, least: fewest } = await aggregator.get("/api/cohorts");
    const told = here ? await ownCohorts(identity.keys) : { cohorts: [] };
    if (here) await bringRosters(told.cohorts, rosters);
    least = fewest;
    showCandidates(months, patients, told.cohorts);
    const items = await Promise.all(told.cohorts.map(cohortItem));
    byId("cohorts").replaceChildren(...items);
    byId("no-cohorts").hidden = items.length > 0;
    status.textContent = "";
  } catch (error) {
    status.textContent = explain(error);
  }
}

/** Who can be on a roster, and the months that have none yet. */
function showCandidates(months, patients, cohorts) {
  const fixed = new Set(cohorts.map(({ month }) => month));
  const free = months.filter((month) => !fixed.has(month));
  byId("month").replaceChildren(...free.map((month) => new Option(monthText(month), month)));
  byId("candidates").replaceChildren(
    ...patients.map(({ pseudonym, display_name: name, since }) => {
      const item = fromTemplate("candidate", { name, since: timeText(since) });
      part(item, "box").value = pseudonym;
      return item;
    }),
  );
  byId("no-patients").hidden = patients.length > 0;
  byId("none-free").hidden = free.length > 0;
  byId("roster-form").hidden = patients.length === 0 || free.length === 0 || !here;
  byId("all").checked = true;
  showChosen();
}

function boxes() {
  return [...byId("candidates").querySelectorAll("input")];
}

function chosen() {
  return boxes().filter((box) => box.checked).map((box) => box.value);
}

function chooseAll() {
  boxes().forEach((box) => (box.checked = byId("all").checked));
  showChosen();
}

function showChosen() {
  const count = chosen().length;
  byId("chosen").textContent = tn("clinic.chosen", count, { least: number(least) });
  byId("ask-fix").disabled = count < least;
  ask(false);
}

function ask(open) {
  byId("sure").hidden = !open;
  byId("ask-fix").hidden = open;
}

function askWhetherToFix(event) {
  event.preventDefault();
  ask(true);
  byId("not-yet").focus();
}

async function fix() {
  const month = byId("month").value;
  byId("fix").disabled = true;
  rosterStatus.textContent = "";
  try {
    await fixRoster(identity.keys, month, chosen());
    await show();
    rosterStatus.textContent = t("clinic.fixed", { month: monthText(month) });
  } catch (error) {
    rosterStatus.textContent = `${explain(error)} ${nameOf(error.pseudonym)}`;
  } finally {
    byId("fix").disabled = false;
    ask(false);
  }
}

/** Whom a refusal is about, if it says so. */
function nameOf(pseudonym) {
  const box = boxes().find(({ value }) => value === pseudonym);
  return box ? part(box.closest("li"), "name").textContent : "";
}

async function cohortItem(cohort) {
  const { roster, month, state, opens_at: opensAt, opened_at: openedAt, epsilon } = cohort;
  const item = fromTemplate("cohort-item", { month: monthText(month) });
  const button = part(item, "open");
  const over = opensAt <= now();
  const kept = await isKept(roster);
  button.hidden = !(state === "fixed" ? over : state === "opened" && kept);
  button.textContent = t(state === "fixed" ? "clinic.open" : "clinic.again");
  const texts = {
    fixed: t(over ? "clinic.over" : "clinic.waits", { time: timeText(opensAt) }),
    opened: t(kept ? "clinic.opened" : "clinic.opened-elsewhere", { time: timeText(openedAt) }),
    "too-small": t("clinic.too-small"),
  };
  part(item, "state").textContent = texts[state];
  if (state === "opened") part(item, "noise").textContent = noiseText(epsilon);
  button.addEventListener("click", async () => {
    button.disabled = true;
    part(item, "state").textContent = status.dataset.opening;
    try {
      showFigure(item, await openCohort(identity.keys, cohort));
      const time = timeText(openedAt ?? now());
      part(item, "state").textContent = t("clinic.opened", { time });
      button.hidden = true;
    } catch (error) {
      part(item, "state").textContent = explain(error);
    } finally {
      button.disabled = false;
    }
  });
  return item;
}

function showFigure(item, figure) {
  const { members, recordings, sound, rate, margin, epsilon } = figure;
  const value = (sum) => number(Math.max(0, sum));
  part(item, "figure").textContent = t(epsilon ? "clinic.figure-noise" : "clinic.figure", {
    members: number(members),
    recordings: number(recordings),
    sound: value(sound),
    rate: value(rate),
    margin: number(margin),
  });
  part(item, "noise").textContent = noiseText(epsilon);
}

function noiseText(epsilon) {
  return epsilon ? t("clinic.noise", { epsilon: number(epsilon / 1000) }) : t("clinic.no-noise");
}
