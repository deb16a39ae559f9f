/**
 * Paillier encryption with g = n + 1: Enc(m) = (1 + m n) r^n mod n^2. The browser only ever
 * encrypts; only the key holder can decrypt.
 */

import { bitLength, fromBigInt, hex, sha256, toBigInt } from "./bytes.js";
import { HushbeatError } from "./errors.js";

/** 128-bit security by NIST SP 800-57; the same floor as on the servers. */
export const MIN_KEY_BITS = 3072;

export class PaillierKey {
  constructor(n) {
    this.n = n;
    this.bits = bitLength(n);
    this.plaintextBytes = Math.ceil(this.bits / 8);
    this.ciphertextBytes = 2 * this.plaintextBytes;
  }

  /** The key of n as big-endian bytes, refused if its id is another or if it is too short. */
  static async from(nBytes, keyId, minBits = MIN_KEY_BITS) {
    const key = new PaillierKey(toBigInt(nBytes));
    key.keyId = hex(await sha256(fromBigInt(key.n, key.plaintextBytes)));
    if (key.keyId !== keyId || key.bits < minBits || key.n % 2n === 0n) {
      throw new HushbeatError("bad-key");
    }
    return key;
  }

  /** A fresh encryption of 0 <= m < n as fixed-width big-endian bytes. */
  encrypt(m) {
    if (m < 0n || m >= this.n) throw new HushbeatError("out-of-range");
    const square = this.n * this.n;
    const noise = power(this.randomUnit(), this.n, square);
    return fromBigInt(((1n + m * this.n) * noise) % square, this.ciphertextBytes);
  }

  randomUnit() {
    const excess = BigInt(8 * this.plaintextBytes - this.bits);
    for (;;) {
      const bytes = crypto.getRandomValues(new Uint8Array(this.plaintextBytes));
      const candidate = toBigInt(bytes) >> excess;
      if (candidate > 0n && candidate < this.n && gcd(candidate, this.n) === 1n) return candidate;
    }
  }
}

/** base^exponent mod modulus, five bits of the exponent at a time. */
function power(base, exponent, modulus) {
  const table = [1n];
  for (let i = 1; i < 32; i++) table.push((table[i - 1] * base) % modulus);
  const bits = exponent.toString(2);
  const padded = bits.padStart(5 * Math.ceil(bits.length / 5), "0");
  let result = 1n;
  for (let at = 0; at < padded.length; at += 5) {
    for (let i = 0; i < 5; i++) result = (result * result) % modulus;
    result = (result * table[parseInt(padded.slice(at, at + 5), 2)]) % modulus;
  }
  return result;
}

function gcd(a, b) {
  while (b !== 0n) [a, b] = [b, a % b];
  return a;
}
