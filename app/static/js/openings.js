/**
 * Opening counts (docs/protocol.md, section 6). The aggregator answers a masked ciphertext and its
 * mask, the key holder what the masked ciphertext holds; only this page puts the two together, and
 * both answers are sealed to a key that lives as long as this call.
 */

import { b64u, sha256Hex, toBigInt, unb64u } from "./bytes.js";
import { HushbeatError } from "./errors.js";
import { sign, verify } from "./jws.js";
import { CELL_BITS, currentManifest } from "./manifest.js";
import { page } from "./page.js";
import { blindInfo, oneTimeRecipient, valueInfo } from "./sealing.js";
import { aggregator, keyholder } from "./servers.js";

const SLOT_BITS = BigInt(CELL_BITS / 2);
const SLOT_MASK = (1n << SLOT_BITS) - 1n;

/**
 * Opens cells `[{pseudonym, days: [day]}]`, as many at once as one ciphertext holds. Answers one
 * `{pseudonym, days, recordings, sound, rate}` a cell, in the same order.
 */
export async function openTallies(keys, cells) {
  const { maxCells } = await currentManifest();
  const opened = [];
  for (let at = 0; at < cells.length; at += maxCells) {
    const group = cells.slice(at, at + maxCells);
    const { statement, key, masked, blind } = await open(keys, { kind: "tally", cells: group });
    checkScope(statement.cells, group);
    opened.push(...recoverCounts(masked, blind, key.n, statement.cells));
  }
  return opened;
}

/** Opens the check of a healthy range: whether its lower limit is not above its upper one. */
export async function openRangeCheck(keys, range) {
  const { statement, key, masked, blind } = await open(keys, { kind: "range_check", range });
  if (statement.range !== range) throw new HushbeatError("bad-statement");
  const bit = unmasked(masked, blind, key.n);
  if (bit > 1n) throw new HushbeatError("opening-mismatch");
  return bit === 1n;
}

async function open(keys, scope) {
  const manifest = await currentManifest();
  const recipient = await oneTimeRecipient();
  const answer = await aggregator.post("/api/openings", {
    ...scope,
    recipient: b64u(recipient.publicBytes),
  });
  const statement = await verify(answer.statement, "hushbeat-statement", manifest.statementKey);
  const key = manifest.paillierKey(statement.key_id);
  // The expiry is the key holder's to check: a clock that runs wrong here must not lock anybody out.
  if (
    statement.kind !== scope.kind ||
    statement.collector !== page.account.collector ||
    statement.thumbprint !== keys.thumbprint ||
    statement.recipient !== b64u(recipient.publicBytes) ||
    statement.ciphertext_sha256 !== (await sha256Hex(unb64u(answer.ciphertext))) ||
    !key
  ) {
    throw new HushbeatError("bad-statement");
  }
  const opening = await sign(
    "hushbeat-opening",
    { statement_sha256: await sha256Hex(answer.statement), jti: statement.jti },
    keys,
  );
  const value = await keyholder.post("/v1/openings", {
    statement: answer.statement,
    ciphertext: answer.ciphertext,
    opening,
  });
  const { jti } = statement;
  const blind = await recipient.open(blindInfo(jti), unb64u(answer.sealed_blind));
  const masked = await recipient.open(valueInfo(jti), unb64u(value.sealed_value));
  if (blind.length !== key.plaintextBytes || masked.length !== key.plaintextBytes) {
    throw new HushbeatError("opening-mismatch");
  }
  return { statement, key, masked, blind };
}

/** The statement must be about exactly what was asked for. */
function checkScope(cells, asked) {
  const matches =
    cells?.length === asked.length &&
    cells.every(
      (cell, k) =>
        cell.pseudonym === asked[k].pseudonym &&
        cell.days.length === asked[k].days.length &&
        cell.days.every(([day, recordings], i) => day === asked[k].days[i] && recordings >= 0),
    );
  if (!matches) throw new HushbeatError("bad-statement");
}

/** The counts of every cell; a wrong key, mask or number of recordings shows as a mismatch. */
export function recoverCounts(masked, blind, n, cells) {
  let rest = unmasked(masked, blind, n);
  const slot = (recordings) => {
    const count = Number(rest & SLOT_MASK);
    rest >>= SLOT_BITS;
    if (count > recordings) throw new HushbeatError("opening-mismatch");
    return count;
  };
  const counts = cells.map(({ pseudonym, days }) => {
    const recordings = days.reduce((sum, [, number]) => sum + number, 0);
    const sound = slot(recordings);
    const rate = slot(recordings);
    return { pseudonym, days: days.map(([day]) => day), recordings, sound, rate };
  });
  if (rest !== 0n) throw new HushbeatError("opening-mismatch");
  return counts;
}

function unmasked(masked, blind, n) {
  const difference = (toBigInt(masked) - toBigInt(blind)) % n;
  return difference < 0n ? difference + n : difference;
}
