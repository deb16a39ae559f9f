/**
 * Consent: a grant signed by the patient, told to the key holder first and then to the aggregator;
 * taking it back goes the same way. A message that only one of them has got is kept and finished
 * at the next visit, so that no grant stays behind at the key holder that the page does not show.
 */

import { newId } from "./bytes.js";
import { HushbeatError, ProblemError } from "./errors.js";
import { doctorCode, thumbprint } from "./jws.js";
import { now, page } from "./page.js";
import { aggregator, keyholder } from "./servers.js";
import { ready, sign } from "./signer.js";
import { entries, remove, write } from "./store.js";

/** A typed code in its one spelling, or null: `abcd efgh...` is ABCD-EFGH-... */
export function normalisedCode(typed) {
  const letters = typed.toUpperCase().replace(/[\s-]/g, "");
  return /^[A-Z2-7]{16}$/.test(letters) ? letters.match(/.{4}/g).join("-") : null;
}

/** What a grant is good for, by the kind of who gets it. */
const USES = { doctor: "counts", clinic: "cohort" };

/**
 * The doctor or clinic of a code. The code is a hash of the key, so the answer can be checked; that
 * the kind is right, the key holder checks, which knows the key by its kind.
 */
export async function doctorOf(code) {
  const doctor = await aggregator.get(`/api/doctors/${code}`);
  const thumb = await thumbprint(doctor.key);
  if ((await doctorCode(thumb)) !== code) throw new HushbeatError("doctor-code-mismatch");
  const use = USES[doctor.kind];
  if (!use) throw new HushbeatError("bad-message");
  return { ...doctor, thumbprint: thumb, use };
}

/**
 * Lets the doctor open this patient's counts, or the clinic count them in. A grant that is in force
 * already is gone on with.
 */
export async function consent(keys, doctor) {
  await deliver(keys, await grantMessage(keys, newId(), doctor));
}

/** Ends a grant. */
export async function takeBack(keys, grant) {
  await deliver(keys, await revocationMessage(keys, grant));
}

/** Delivers what an earlier visit could not; answers how many there were. */
export async function finishUnconfirmed(keys) {
  const waiting = await entries("unconfirmed", prefix());
  // A consent that was taken back before it went through: the revocation must come last.
  waiting.sort(([, a], [, b]) => Number(a.revokes ?? false) - Number(b.revokes ?? false));
  for (const [, message] of waiting) await deliver(keys, message);
  return waiting.length;
}

const prefix = () => `${page.account.login}/`;

async function deliver(keys, message) {
  const key = `${prefix()}${message.grant}/${message.revokes ? "revocation" : "grant"}`;
  await write("unconfirmed", key, message);
  try {
    await (message.revokes ? deliverRevocation(message) : deliverGrant(keys, message));
  } catch (error) {
    // A refusal is final; whatever else went wrong is tried again at the next visit.
    if (isFinal(error)) await remove("unconfirmed", key);
    throw error;
  }
  await remove("unconfirmed", key);
}

async function deliverGrant(keys, message) {
  try {
    await keyholder.post("/v1/grants", { grant: message.token });
  } catch (error) {
    const inForce = grantInForce(error);
    if (!inForce || inForce === message.grant) throw error;
    // The key holder has one of an earlier time; the aggregator may lack it.
    await deliver(keys, await grantMessage(keys, inForce, message.doctor));
    return;
  }
  try {
    await tellAggregator(keys, message);
  } catch (error) {
    if (isFinal(error)) await deliverToKeyholder(await revocationMessage(keys, message.grant));
    throw error;
  }
}

/** The key holder's grant is the one that opens: another one that only the aggregator has ends. */
async function tellAggregator(keys, { grant, token }) {
  try {
    await aggregator.post("/api/consents", { grant: token });
  } catch (error) {
    const inForce = grantInForce(error);
    if (!inForce || inForce === grant) throw error;
    await deliver(keys, await revocationMessage(keys, inForce));
    await aggregator.post("/api/consents", { grant: token });
  }
}

/** A server that never got the grant has nothing to end: that must not keep it at the other one. */
async function deliverRevocation(message) {
  const { grant, token } = message;
  await deliverToKeyholder(message).catch(unlessNotFound);
  await aggregator.remove(`/api/consents/${grant}`, { revocation: token }).catch(unlessNotFound);
}

const deliverToKeyholder = ({ token }) => keyholder.post("/v1/revocations", { revocation: token });

function unlessNotFound(error) {
  if (!(error instanceof ProblemError && error.status === 404)) throw error;
}

const isFinal = (error) =>
  error instanceof ProblemError && error.status < 500 && error.status !== 429;

const grantInForce = (error) =>
  error instanceof ProblemError && error.code === "grant-exists" ? error.grant : undefined;

async function grantMessage(keys, grant, { collector, thumbprint: thumb, use }) {
  await ready(keys); // a session that is begun now covers no earlier `iat`
  const payload = {
    grant,
    patient: page.account.collector,
    doctor: collector,
    doctor_thumbprint: thumb,
    use,
    iat: now(),
  };
  const token = await sign("hushbeat-grant", payload, keys);
  return { grant, token, doctor: { collector, thumbprint: thumb, use } };
}

async function revocationMessage(keys, grant) {
  return { grant, token: await revocationOf(keys, grant), revokes: true };
}

async function revocationOf(keys, grant) {
  await ready(keys);
  const payload = { grant, patient: page.account.collector, iat: now() };
  return sign("hushbeat-revocation", payload, keys);
}
