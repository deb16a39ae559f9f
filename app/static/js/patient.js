/** The patient's page: choose, look, send, follow; open the counts. */

import { showCounts } from "./counts-view.js";
import { currentManifest } from "./manifest.js";
import { openTallies } from "./openings.js";
import { byId, explain, listen, page, timeText, tn } from "./page.js";
import { RecordingList } from "./recording-list.js";
import { cellsByDay, daysWithRecordings } from "./scope.js";
import { start } from "./start.js";
import { UploadList } from "./upload-list.js";

let opening;
const identity = await start();
if (identity) {
  const list = new RecordingList();
  new UploadList(identity.keys.idKey, list);
  if (identity.state === "elsewhere") {
    byId("findings").hidden = true;
  } else {
    listen(byId("open-counts"), "click", openCounts);
    list.addEventListener("settled", openCounts);
    openCounts();
  }
  list.follow();
}

/** One opening at a time; a second click joins the one under way. */
function openCounts() {
  opening ??= opened().finally(() => (opening = undefined));
  return opening;
}

async function opened() {
  const button = byId("open-counts");
  const status = byId("counts-status");
  button.disabled = true;
  status.textContent = status.dataset.busy;
  try {
    const [{ maxCells }, days] = await Promise.all([currentManifest(), daysWithRecordings()]);
    const cells = cellsByDay(page.account.collector, days, maxCells);
    showCounts(cells.length > 0 ? await openTallies(identity.keys, cells) : []);
    status.textContent = tn("counts.opened", days.length, { time: timeText(Date.now() / 1000) });
  } catch (error) {
    status.textContent = explain(error);
  } finally {
    button.disabled = false;
  }
}
