/** The account's page: login name, this browser's key, the code of a doctor or clinic. */

import "./copy.js";
import { doctorCode } from "./jws.js";
import { byId, t } from "./page.js";
import { start } from "./start.js";

const identity = await start();
const state = byId("key-state");
if (state && identity) {
  const here = identity.state !== "elsewhere";
  state.textContent = here ? t(`account.key-${identity.keys.type}`) : t("account.key-elsewhere");
  state.dataset.tone = here ? "good" : "bad";
}
if (byId("doctor-code") && identity && identity.state !== "elsewhere") {
  byId("doctor-code").textContent = await doctorCode(identity.keys.root);
}
