/**
 * Opening counts (docs/protocol.md, section 6). The aggregator answers a masked ciphertext and its
 * mask, the key holder what the masked ciphertext holds; only this page puts the two together, and
 * both answers are sealed to a key that lives as long as this call.
 */

import { b64u, bitLength, concat, hex, sha256Hex, toBigInt, unb64u, utf8 } from "./bytes.js";
import { HushbeatError } from "./errors.js";
import { verify } from "./jws.js";
import { COUNT_SLOT_BITS, currentManifest, maxCells, paillierKey } from "./manifest.js";
import { page } from "./page.js";
import { blindInfo, oneTimeRecipient, valueInfo } from "./sealing.js";
import { aggregator, keyholder } from "./servers.js";
import { ready, sign } from "./signer.js";

/** In one request, over all its cells: it stays far below the 256 KiB that the aggregator reads. */
const MOST_DAYS = 12_000;

/** In one cell; the statement's format holds no more. */
const MOST_DAYS_OF_CELL = 4_096;

/** How often the key holder is asked for parts of what it refused, before the rest stays closed. */
const MOST_REFUSED = 32;

const RANGE_DIGEST_BYTES = 32;
const RANGE_COMMITMENT = "hushbeat/range-check/commitment/v1\0";

/**
 * Opens cells `[{pseudonym, days: [day]}]`, as many at once as one ciphertext and one request hold.
 * Answers one `{pseudonym, days, recordings, sound, rate, closed}` a cell, in the same order.
 * `closed` are days that the key holder does not open now, because the aggregator counts more
 * recordings in them than were compared; the numbers are of the other `days`. All of a cell's are
 * closed, and it is `denied`, if the key holder finds no consent of its patient, but of others.
 */
export async function openTallies(keys, cells) {
  const { maxCells } = await currentManifest();
  const refused = { times: 0 };
  const opened = [];
  for (const group of groupsOf(cells, maxCells)) {
    opened.push(...(await openWhatIsServed(keys, group, refused)));
  }
  return opened;
}

/** Cells that are opened together. A cell that is too long for any request is alone. */
export function groupsOf(cells, maxCells) {
  const groups = [];
  let days = Infinity;
  for (const cell of cells) {
    days += cell.days.length;
    if (days > MOST_DAYS || groups.at(-1).length === maxCells) {
      groups.push([]);
      days = cell.days.length;
    }
    groups.at(-1).push(cell);
  }
  return groups;
}

/** What is too long or refused together is opened in halves: only what has to be stays closed. */
async function openWhatIsServed(keys, cells, refused) {
  const days = cells.reduce((sum, cell) => sum + cell.days.length, 0);
  if (days <= MOST_DAYS && cells.every((cell) => cell.days.length <= MOST_DAYS_OF_CELL)) {
    try {
      return await openTogether(keys, cells);
    } catch (error) {
      refused.times += 1;
      const others = cells.filter(({ pseudonym }) => pseudonym !== error.pseudonym);
      if (error.code === "not-granted" && 0 < others.length && others.length < cells.length) {
        if (refused.times >= MOST_REFUSED) throw error;
        const open = await openWhatIsServed(keys, others, refused);
        return cells.map((cell) => (others.includes(cell) ? open.shift() : deniedCell(cell)));
      }
      if (error.code !== "not-served") throw error;
      if (days === 1 || refused.times >= MOST_REFUSED) return cells.map(closedCell);
    }
  }
  const opened = [];
  for (const half of halves(cells)) {
    opened.push(...(await openWhatIsServed(keys, half, refused)));
  }
  return cells.length > 1 ? opened : [joined(...opened)];
}

/** Two lists of cells with half of the cells each, or with half of the days of the only cell. */
function halves(cells) {
  const [{ pseudonym, days }] = cells;
  const cut = (list) => [list.slice(0, list.length >> 1), list.slice(list.length >> 1)];
  return cells.length > 1 ? cut(cells) : cut(days).map((part) => [{ pseudonym, days: part }]);
}

function joined(one, other) {
  return {
    pseudonym: one.pseudonym,
    days: [...one.days, ...other.days],
    recordings: one.recordings + other.recordings,
    sound: one.sound + other.sound,
    rate: one.rate + other.rate,
    closed: [...one.closed, ...other.closed],
  };
}

function closedCell({ pseudonym, days }) {
  return { pseudonym, days: [], recordings: 0, sound: 0, rate: 0, closed: days };
}

function deniedCell(cell) {
  return { ...closedCell(cell), denied: true };
}

async function openTogether(keys, cells) {
  const { statement, key, masked, blind } = await open(keys, { kind: "tally", cells });
  checkScope(statement.cells, cells);
  return recoverCounts(masked, blind, key.n, statement.cells, statement.slot_bits);
}

/** Opens the check of a healthy range: the key holder's digest if the range is valid, else null. */
export async function openRangeCheck(keys, range) {
  const { statement, masked, blind } = await open(keys, { kind: "range_check", range });
  if (statement.range !== range) throw new HushbeatError("bad-statement");
  return (await isCommittedTo(masked, blind)) ? masked : null;
}

/**
 * Whether the key holder's digest is the one that the aggregator committed to: the range is valid.
 * The aggregator's digest itself would be enough to put a range in force, so it stays there.
 */
export async function isCommittedTo(digest, commitment) {
  return (await sha256Hex(concat(utf8(RANGE_COMMITMENT), digest))) === hex(commitment);
}

async function open(keys, scope) {
  const half = await askHalf(keys, "/api/openings", scope);
  if (half.statement.kind !== scope.kind) throw new HushbeatError("bad-statement");
  return { ...half, ...(await redeem(keys, "/v1/openings", half)) };
}

/** The aggregator's half of an opening: `{statement, key, answer, recipient}`. */
export async function askHalf(keys, path, scope) {
  await ready(keys); // before the statement, which does not wait for a person
  const recipient = await oneTimeRecipient();
  const asked = { ...scope, recipient: b64u(recipient.publicBytes) };
  return readHalf(keys, await aggregator.post(path, asked), recipient);
}

/** The same from an answer: its statement is the aggregator's, for these keys and this recipient. */
export async function readHalf(keys, answer, recipient) {
  const manifest = await currentManifest();
  const statement = await verify(answer.statement, "hushbeat-statement", manifest.statementKey);
  const key = await paillierKey(statement.key_id);
  const isOther = isAboutCiphertext(statement)
    ? statement.ciphertext_sha256 !== (await sha256Hex(unb64u(answer.ciphertext)))
    : answer.ciphertext !== undefined;
  // The expiry is the key holder's to check: a clock that runs wrong here must not lock anybody out.
  if (
    statement.collector !== page.account.collector ||
    statement.thumbprint !== keys.root ||
    statement.recipient !== b64u(recipient.publicBytes) ||
    isOther ||
    !key
  ) {
    throw new HushbeatError("bad-statement");
  }
  return { statement, key, answer, recipient };
}

/** Signs for it and gets the key holder's half: `{masked, blind}`, unsealed. */
export async function redeem(keys, path, { statement, key, answer, recipient }) {
  const opening = await sign(
    "hushbeat-opening",
    { statement_sha256: await sha256Hex(answer.statement), jti: statement.jti },
    keys,
  );
  const asked = { statement: answer.statement, opening };
  if (isAboutCiphertext(statement)) asked.ciphertext = answer.ciphertext;
  const value = await keyholder.post(path, asked);
  const { jti } = statement;
  const blind = await recipient.open(blindInfo(jti), unb64u(answer.sealed_blind));
  const masked = await recipient.open(valueInfo(jti), unb64u(value.sealed_value));
  const length = isAboutCiphertext(statement) ? key.plaintextBytes : RANGE_DIGEST_BYTES;
  if (blind.length !== length || masked.length !== length) {
    throw new HushbeatError("opening-mismatch");
  }
  return { masked, blind };
}

/** All are but that of a range check, which is about what both servers keep of it. */
function isAboutCiphertext({ kind }) {
  return kind !== "range_check";
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

/**
 * The counts of every cell: of cell k the sound count stands at bit w k, w being the statement's slot
 * width, and the rate count as far above bit 24 maxCells; neither is above the recordings of its
 * cell, and nothing else is in the number. A wrong key, mask or number of recordings shows.
 */
export function recoverCounts(masked, blind, n, cells, slotBits = COUNT_SLOT_BITS) {
  if (!(slotBits >= 1 && slotBits <= COUNT_SLOT_BITS)) throw new HushbeatError("bad-statement");
  let rest = unmasked(masked, blind, n);
  const take = (at, most) => {
    const count = BigInt.asUintN(slotBits, rest >> at);
    rest -= count << at;
    if (count > BigInt(most)) throw new HushbeatError("opening-mismatch");
    return Number(count);
  };
  const mostCells = maxCells(bitLength(n));
  if (cells.length > mostCells) throw new HushbeatError("opening-mismatch");
  const counts = cells.map(({ pseudonym, days: stated }, k) => {
    const days = stated.map(([day]) => day);
    const recordings = stated.reduce((sum, [, number]) => sum + number, 0);
    const sound = take(BigInt(slotBits * k), recordings);
    const rate = take(BigInt(COUNT_SLOT_BITS * mostCells + slotBits * k), recordings);
    return { pseudonym, days, recordings, sound, rate, closed: [] };
  });
  if (rest !== 0n) throw new HushbeatError("opening-mismatch");
  return counts;
}

/** What the two halves hold together. */
export function unmasked(masked, blind, n) {
  const difference = (toBigInt(masked) - toBigInt(blind)) % n;
  return difference < 0n ? difference + n : difference;
}
