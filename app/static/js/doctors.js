/** The patient's doctors: consent by the doctor's code, and take it back. */

import { consent, doctorOf, finishUnconfirmed, normalisedCode, takeBack } from "./grants.js";
import { byId, explain, fromTemplate, part, t, timeText } from "./page.js";
import { aggregator } from "./servers.js";
import { start } from "./start.js";

const status = byId("consent-status");
const identity = await start();
let found;

if (identity?.state === "elsewhere") byId("find-doctor").hidden = true;
else if (identity) {
  byId("find-doctor").addEventListener("submit", findDoctor);
  byId("consent").addEventListener("click", giveConsent);
  byId("no-consent").addEventListener("click", forget);
  await attempt(() => finishUnconfirmed(identity.keys), "");
}
if (identity) await attempt(showConsents, "");

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
  }, t("doctors.consented", { name: doctor.display_name }));
  byId("consent").disabled = false;
}

function forget() {
  found = undefined;
  byId("doctor-found").hidden = true;
}

async function showConsents() {
  const { consents } = await aggregator.get("/api/consents");
  byId("consents").replaceChildren(...consents.map(consentItem));
  byId("no-consents").hidden = consents.length > 0;
}

function consentItem({ grant, display_name: name, since }) {
  const item = fromTemplate("consent-item", { name, since: timeText(since) });
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
    }, t("doctors.taken-back", { name }));
    yes.disabled = false;
  });
  return item;
}

/** Does something and says how it went. */
async function attempt(work, success) {
  status.textContent = "";
  try {
    await work();
    status.textContent = success;
  } catch (error) {
    status.textContent = explain(error);
  }
}
