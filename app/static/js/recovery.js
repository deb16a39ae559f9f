/**
 * Recovery of a patient who has no key left (docs/protocol.md, section 8): slow and visible. Two
 * people vouch for a new key, one of them a doctor who may open the counts; then the key holder waits
 * for days, in which every key that is left can stop it.
 */

import { newId } from "./bytes.js";
import { ProblemError } from "./errors.js";
import { claimed } from "./jws.js";
import { forgetWaitingKey, keepWaitingKey, takeKey } from "./keys.js";
import { now, page } from "./page.js";
import { aggregator, keyholder } from "./servers.js";
import { ready, sign } from "./signer.js";

/** In the browser without a key: a new key asks to take its place. Answers what waits from now on. */
export async function beginRecovery(key) {
  await ready(key); // a session that is begun now covers no earlier `iat`
  const told = {
    collector: page.account.collector,
    key: key.jwk,
    type: key.type,
    jti: newId(),
    iat: now(),
  };
  const token = await sign("hushbeat-recovery", told, key);
  const waiting = { purpose: "recovery", key, recovery: told.jti, token };
  await keepWaitingKey(page.account.login, waiting);
  await aggregator.post("/api/recoveries", { recovery: token });
  return waiting;
}

/**
 * Carries the approvals from the aggregator to the key holder. Answers who has approved, and when
 * the delay is over (Unix seconds; null while approvals are missing).
 */
export async function followRecovery({ recovery, token }) {
  await aggregator.post("/api/recoveries", { recovery: token }); // it may have missed it before
  const { recoveries } = await aggregator.get("/api/recoveries");
  const own = recoveries.find((one) => one.recovery === recovery);
  const standing = { approvers: [], completesAt: null };
  for (const approval of own?.approvals ?? []) {
    try {
      const told = await keyholder.post("/v1/recoveries", { recovery: token, approval });
      standing.completesAt = told.completes_at;
      standing.approvers.push(claimed(approval).approver);
    } catch (error) {
      // A doctor whose consent has ended meanwhile does not count.
      if (!(error instanceof ProblemError && error.code === "not-an-approver")) throw error;
    }
  }
  return standing;
}

/** The delay is over: the new key takes its place at both servers. */
export async function completeRecovery({ key, recovery }) {
  const { login, collector, thumbprint: root } = page.account;
  await ready(key);
  const told = { recovery, collector, iat: now() };
  const completion = await sign("hushbeat-recovery-completion", told, key);
  const { receipt } = await keyholder.post(`/v1/recoveries/${recovery}/completion`, { completion });
  await aggregator.post(`/api/recoveries/${recovery}/completion`, { receipt });
  await takeKey(login, key, root);
  await forgetWaitingKey(login);
}

/** Stops a recovery of the own account, by a key that is left. */
export async function cancelRecovery(keys, recovery) {
  await ready(keys);
  const told = { recovery, collector: page.account.collector, iat: now() };
  const cancel = await sign("hushbeat-recovery-cancel", told, keys);
  await keyholder.post(`/v1/recoveries/${recovery}/cancellation`, { cancel });
  await aggregator.post(`/api/recoveries/${recovery}/cancellation`, { cancel });
}

/** A doctor vouches that the new key is the patient's. */
export async function approveAsDoctor(keys, { recovery, collector, thumbprint }) {
  await ready(keys);
  const approver = page.account.collector;
  const told = { recovery, collector, thumbprint, approver, iat: now() };
  const approval = await sign("hushbeat-recovery-approval", told, keys);
  await aggregator.post(`/api/recoveries/${recovery}/approvals`, { approval });
}

/** An operator has the aggregator vouch for it. */
export function approveAsOperator({ recovery }) {
  return aggregator.post(`/api/recoveries/${recovery}/approvals`, {});
}
