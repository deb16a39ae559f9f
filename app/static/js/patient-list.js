/** The doctor's page: own code, consenting patients, and the counts of all of them in one opening. */

import { showApprovals } from "./approvals.js";
import { showOwnCode } from "./copy.js";
import { noteOn, numbersOf } from "./counts-view.js";
import { openTallies } from "./openings.js";
import { byId, explain, fromTemplate, listen, notify, number, part, t, timeText, tn } from "./page.js";
import { choosePeriod } from "./period.js";
import { rangeWord } from "./ranges.js";
import { approveAsDoctor } from "./recovery.js";
import { daysWithRecordings } from "./scope.js";
import { aggregator } from "./servers.js";
import { start } from "./start.js";

const status = byId("counts-status");
const identity = await start();
const here = identity && identity.state !== "elsewhere";
let newest = 0;
let period;

if (here) await showOwnCode(identity.keys.root);
if (identity) {
  listen(byId("open-counts"), "click", show);
  choosePeriod((chosen) => {
    period = chosen;
    show();
  });
}
if (here) {
  const approve = (recovery) => approveAsDoctor(identity.keys, recovery);
  showApprovals(approve).catch((error) => notify(explain(error), "bad"));
}

async function show() {
  const turn = ++newest;
  status.textContent = status.dataset.busy;
  try {
    const { patients } = await aggregator.get("/api/patients");
    if (turn !== newest) return;
    const rows = new Map(patients.map((patient) => [patient.pseudonym, rowOf(patient)]));
    byId("patients").replaceChildren(...rows.values());
    byId("patients-table").hidden = patients.length === 0;
    byId("no-patients").hidden = patients.length > 0;
    if (!here) return (status.textContent = "");
    const cells = [];
    for (const { pseudonym } of patients) {
      const days = await daysWithRecordings({ ...period, pseudonym });
      if (days.length > 0) cells.push({ pseudonym, days });
      else filled(rows.get(pseudonym), { recordings: number(0) });
    }
    const opened = cells.length > 0 ? await openTallies(identity.keys, cells) : [];
    if (turn !== newest) return;
    for (const cell of opened) {
      filled(rows.get(cell.pseudonym), { ...numbersOf(cell), note: noteOn([cell]) });
    }
    const time = timeText(Date.now() / 1000);
    status.textContent = patients.length > 0 ? tn("patients.opened", patients.length, { time }) : "";
  } catch (error) {
    if (turn === newest) status.textContent = explain(error);
  }
}

function rowOf({ pseudonym, display_name: name, range }) {
  const row = fromTemplate("patient-row", { name, range: t(`range.${rangeWord(range)}`) });
  part(row, "name").href = `/patients/${pseudonym}`;
  return filled(row, { recordings: "–", sound: "–", rate: "–" });
}

function filled(row, texts) {
  for (const [name, text] of Object.entries(texts)) part(row, name).textContent = text;
  return row;
}
