/** The operator's page of recoveries: the aggregator vouches at an operator's word. */

import { showApprovals } from "./approvals.js";
import { byId, explain, t } from "./page.js";
import { approveAsOperator } from "./recovery.js";

const status = byId("approvals-status");
try {
  const waiting = await showApprovals(approveAsOperator);
  status.textContent = waiting === 0 ? t("approvals.none") : "";
} catch (error) {
  status.textContent = explain(error);
}
