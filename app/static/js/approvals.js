/**
 * Vouching for a patient's new key: whoever does it has the code from the patient, and types it, so
 * that it was compared.
 */

import { normalisedCode } from "./grants.js";
import { doctorCode } from "./jws.js";
import { byId, explain, fromTemplate, part, t, timeText } from "./page.js";
import { aggregator } from "./servers.js";

/** Lists the recoveries that wait; `approve(recovery)` vouches for one of them. */
export async function showApprovals(approve) {
  const { recoveries } = await aggregator.get("/api/recoveries");
  byId("approval-list").replaceChildren(...recoveries.map((one) => itemOf(one, approve)));
  byId("approvals").hidden = recoveries.length === 0;
  return recoveries.length;
}

function itemOf(recovery, approve) {
  const name = recovery.display_name;
  const since = t("approvals.since", { time: timeText(recovery.requested_at) });
  const item = fromTemplate("approval-item", { name, since });
  const [form, code, button, state] = ["form", "code", "vouch", "state"].map((p) => part(item, p));
  form.hidden = recovery.approved;
  code.setAttribute("aria-label", t("approvals.code", { name }));
  state.textContent = recovery.approved ? t("approvals.done") : "";
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    state.textContent = "";
    const same = normalisedCode(code.value) === (await doctorCode(recovery.thumbprint));
    code.setAttribute("aria-invalid", String(!same));
    if (!same) {
      state.textContent = t("approvals.other-code");
      code.focus();
      return;
    }
    button.disabled = true;
    try {
      await approve(recovery);
      form.hidden = true;
      state.textContent = t("approvals.done");
    } catch (error) {
      state.textContent = explain(error);
    }
    button.disabled = false;
  });
  return item;
}
