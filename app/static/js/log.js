/**
 * The key holder's log of this account (docs/protocol.md, section 3): who took in which key, who
 * opened how much and when. The own entries are a chain of hashes whose end the key holder signs.
 * This browser remembers how far it has seen the chain: a history that is rewritten later shows.
 */

import { newId, sha256Hex } from "./bytes.js";
import { HushbeatError } from "./errors.js";
import { verify } from "./jws.js";
import { currentManifest } from "./manifest.js";
import { now, page } from "./page.js";
import { keyholder } from "./servers.js";
import { ready, sign } from "./signer.js";
import { read, write } from "./store.js";

const CONTEXT = "hushbeat/log/v1\0";
const BEGINNING = { seq: 0, hash: "0".repeat(64) };
const REQUEST_SECONDS = 300;

/**
 * Every entry of the account, oldest first, with the keys in force and the recoveries that can still
 * complete: `{entries, keys, recoveries}`. An error if they are not what was seen before.
 */
export async function ownLog(keys) {
  return followed(keys, BEGINNING, await seenMark());
}

/** The same, with the entries only that this browser has not seen. */
export async function newsOfLog(keys) {
  const seen = await seenMark();
  return followed(keys, seen, seen);
}

const seenMark = async () => (await read("logs", page.account.login)) ?? BEGINNING;

async function followed(keys, from, seen) {
  const { login, collector } = page.account;
  const entries = [];
  let mark = from;
  for (;;) {
    const answer = await asked(keys, mark.seq);
    const { head, entries: more } = answer;
    mark = await follow(more, collector, mark, seen);
    entries.push(...more);
    if (head.own_seq === mark.seq && head.own_hash === mark.hash) {
      if (mark.seq < seen.seq) throw new HushbeatError("log-broken");
      await write("logs", login, mark);
      return { entries, keys: answer.keys, recoveries: answer.recoveries };
    }
    if (more.length === 0 || head.own_seq <= mark.seq) throw new HushbeatError("log-broken");
  }
}

async function asked(keys, after) {
  await ready(keys);
  const { manifestKey } = await currentManifest();
  const iat = now();
  const request = {
    collector: page.account.collector,
    after,
    jti: newId(),
    iat,
    exp: iat + REQUEST_SECONDS,
  };
  const answer = await keyholder.post("/v1/log", {
    request: await sign("hushbeat-log-request", request, keys),
  });
  const head = await verify(answer.head, "hushbeat-log-head", manifestKey);
  const fits = head.collector === request.collector && head.jti === request.jti;
  if (!fits || head.seq < head.own_seq || !Array.isArray(answer.entries)) {
    throw new HushbeatError("log-broken");
  }
  return { ...answer, head };
}

/** How far these entries lead on from `mark`; `seen` must lie on their way if they reach it. */
export async function follow(entries, collector, mark, seen) {
  for (const entry of entries) {
    const follows = entry.seq > mark.seq && entry.own_prev === mark.hash;
    if (entry.pseudonym !== collector || !follows) throw new HushbeatError("log-broken");
    const passedBy = mark.seq < seen.seq && entry.seq > seen.seq;
    mark = { seq: entry.seq, hash: await entryHash(entry) };
    const rewritten = mark.seq === seen.seq && mark.hash !== seen.hash;
    if (passedBy || rewritten) throw new HushbeatError("log-broken");
  }
  return mark;
}

/** SHA-256 over the fields in their one spelling, in hex. */
export function entryHash(entry) {
  const fields = Object.keys(entry).sort();
  const spelled = JSON.stringify(Object.fromEntries(fields.map((name) => [name, entry[name]])));
  return sha256Hex(CONTEXT + spelled);
}
