/**
 * The patient's doctors and clinics: consent by a code, take it back, and the cohorts that the
 * patient's recordings were counted in.
 */

import { ownCohorts } from "./cohorts.js";
import { consent, doctorOf, finishUnconfirmed, normalisedCode, takeBack } from "./grants.js";
import { byId, explain, fromTemplate, listen, monthText, number, part, t, timeText } from "./page.js";
import { aggregator } from "./servers.js";
import { start } from "./start.js";

const status = byId("consent-status");
const identity = await start();
const clinics = new Map();
let newest = 0;
let found;

if (identity?.state === "elsewhere") byId("find-doctor").hidden = true;
else if (identity) {
  byId("consent").addEventListener("click", giveConsent);
  byId("no-consent").addEventListener("click", forget);
  listen(byId("find-doctor"), "submit", findDoctor);
  await unasked(() => finishUnconfirmed(identity.keys));
}
if (identity) await unasked(showConsents);
if (identity && identity.state !== "elsewhere") await unasked(showCohorts);

async function findDoctor(event) {
  event.preventDefault();
  forget();
  const field = byId("code");
  const code = normalisedCode(field.value);
  field.setAttribute("aria-invalid", String(code === null));
  if (code === null) {
    status.textContent = t("doctors.code-form");
    field.focus();
    return;
  }
  await attempt(async () => {
    found = await doctorOf(code);
    byId("doctor-name").textContent = found.display_name;
    const clinic = found.use === "cohort";
    byId("means-counts").hidden = clinic;
    byId("means-cohort").hidden = !clinic;
    byId("consent").textContent = t(clinic ? "doctors.allow-clinic" : "doctors.allow-doctor");
    byId("doctor-found").hidden = false;
    byId("consent").focus();
  }, "");
}

async function giveConsent() {
  const doctor = found;
  if (!doctor) return;
  await attempt(async () => {
    byId("consent").disabled = true;
    await consent(identity.keys, doctor);
    forget();
    byId("code").value = "";
    await showConsents();
  }, t(doctor.use === "cohort" ? "doctors.consented-cohort" : "doctors.consented-counts", {
    name: doctor.display_name,
  }));
  byId("consent").disabled = false;
}

function forget() {
  found = undefined;
  byId("doctor-found").hidden = true;
}

async function showConsents() {
  const turn = ++newest;
  const { consents } = await aggregator.get("/api/consents");
  if (turn !== newest) return;
  byId("consents").replaceChildren(...consents.map(consentItem));
  byId("no-consents").hidden = consents.length > 0;
}

/** Which months count the patient in, and what was spent on it. */
async function showCohorts() {
  const { cohorts } = await ownCohorts(identity.keys);
  byId("in-cohorts").hidden = cohorts.length === 0;
  byId("cohorts").replaceChildren(...cohorts.map(cohortItem));
}

function cohortItem({ month, clinic, state, counted, epsilon }) {
  const name = clinics.get(clinic) ?? t("doctors.some-clinic");
  return fromTemplate("cohort-item", { month: monthText(month), name, how: howText() });

  function howText() {
    if (state === "fixed") return t("doctors.cohort-fixed");
    if (!counted) return t("doctors.cohort-without");
    if (!epsilon) return t("doctors.cohort-plain");
    return t("doctors.cohort-noise", { epsilon: number(epsilon / 1000) });
  }
}

function consentItem({ grant, doctor, kind, display_name: name, since }) {
  if (kind === "clinic") clinics.set(doctor, name);
  const what = t(kind === "clinic" ? "doctors.clinic" : "doctors.doctor");
  const item = fromTemplate("consent-item", { name, what, since: timeText(since) });
  const ask = part(item, "ask");
  const sure = part(item, "sure");
  const [yes, no] = [part(item, "yes"), part(item, "no")];
  const elsewhere = identity.state === "elsewhere";
  ask.hidden = elsewhere;
  ask.setAttribute("aria-label", t("doctors.take-back", { name }));
  const question = (open) => {
    sure.hidden = !open;
    ask.hidden = open;
    (open ? no : ask).focus();
  };
  ask.addEventListener("click", () => question(true));
  no.addEventListener("click", () => question(false));
  yes.addEventListener("click", async () => {
    yes.disabled = true;
    await attempt(async () => {
      await takeBack(identity.keys, grant);
      await showConsents();
    }, t(kind === "clinic" ? "doctors.taken-back-clinic" : "doctors.taken-back-doctor", { name }));
    yes.disabled = false;
  });
  return item;
}

/** Does what somebody asked for and says how it went. */
async function attempt(work, success) {
  status.textContent = "";
  await unasked(async () => {
    await work();
    status.textContent = success;
  });
}

/** Does what the page has to do by itself: what is said meanwhile stays, unless that goes wrong. */
async function unasked(work) {
  try {
    await work();
  } catch (error) {
    status.textContent = explain(error);
  }
}
