/**
 * Keys of further devices (docs/protocol.md, section 8). A new device asks and shows a code of its
 * key; a device that holds a key of the account signs the new one in if the person finds the same
 * code on both. The aggregator only carries the messages.
 */

import { newId, sha256Hex } from "./bytes.js";
import { HushbeatError } from "./errors.js";
import { claimed, thumbprint } from "./jws.js";
import { forgetWaitingKey, keepWaitingKey, takeKey } from "./keys.js";
import { now, page } from "./page.js";
import { aggregator, keyholder } from "./servers.js";
import { ready, sign } from "./signer.js";

/** On the new device: asks to be let in. Answers the request that waits. */
export async function askToEnter(key, label) {
  const asked = { key: key.jwk, type: key.type, label };
  const { request } = await aggregator.post("/api/devices/requests", asked);
  const waiting = { purpose: "device", key, request };
  await keepWaitingKey(page.account.login, waiting);
  return waiting;
}

/** On the new device: goes in if it was let in. Answers whether; asking again is harmless. */
export async function tryToEnter({ key, request }) {
  const { device } = await aggregator.get(`/api/devices/requests/${request}`);
  if (!device) return false;
  const { login, collector } = page.account;
  const told = claimed(device);
  if (told.collector !== collector || (await thumbprint(told.key)) !== key.thumbprint) {
    throw new HushbeatError("bad-statement");
  }
  const said = { device_sha256: await sha256Hex(device), jti: told.jti };
  const proof = await sign("hushbeat-device-proof", said, key);
  const { root } = await keyholder.post("/v1/devices", { device, proof });
  await aggregator.post("/api/devices", { device, proof });
  await takeKey(login, key, root);
  await forgetWaitingKey(login);
  return true;
}

/** On the new device: it shall not be let in after all. */
export async function withdraw({ request }) {
  await refuse(request).catch(unlessGone);
  await forgetWaitingKey(page.account.login);
}

/** Lets the device of a request in: the person has compared the codes. */
export async function letIn(keys, { request, key, type }) {
  await ready(keys); // a session that is begun now covers no earlier `iat`
  const told = { collector: page.account.collector, key, type, jti: newId(), iat: now() };
  const device = await sign("hushbeat-device", told, keys);
  await aggregator.post(`/api/devices/requests/${request}/approval`, { device });
}

export function refuse(request) {
  return aggregator.remove(`/api/devices/requests/${request}`);
}

/** Ends another key of the account, at the key holder first. */
export async function removeKey(keys, thumb) {
  await ready(keys);
  const told = {
    collector: page.account.collector,
    thumbprint: thumb,
    jti: newId(),
    iat: now(),
  };
  const removal = await sign("hushbeat-device-removal", told, keys);
  await keyholder.post("/v1/device-removals", { removal });
  await aggregator.post("/api/devices/removals", { removal });
}

function unlessGone(error) {
  if (error.status !== 404) throw error;
}
