/** The encodings that every message shares (docs/protocol.md, section 1). */

import { HushbeatError } from "./errors.js";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

export const utf8 = (text) => encoder.encode(text);
export const fromUtf8 = (bytes) => decoder.decode(bytes);

/** base64url without padding. */
export function b64u(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** Inverse of `b64u`; padding, other alphabets and stray bits are refused. */
export function unb64u(text) {
  if (typeof text !== "string" || !/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) {
    throw new HushbeatError("bad-message");
  }
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  if (b64u(bytes) !== text) throw new HushbeatError("bad-message");
  return bytes;
}

export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

/** SHA-256 of bytes, or of an ASCII text, as 64 hex digits. */
export async function sha256Hex(data) {
  return hex(await sha256(typeof data === "string" ? utf8(data) : data));
}

/** A fresh identifier: 128 random bits as 32 hex digits. */
export const newId = () => hex(crypto.getRandomValues(new Uint8Array(16)));

/** Big-endian bytes to a BigInt. */
export const toBigInt = (bytes) => (bytes.length === 0 ? 0n : BigInt(`0x${hex(bytes)}`));

/** A BigInt as exactly `width` big-endian bytes. */
export function fromBigInt(value, width) {
  const digits = value.toString(16).padStart(2 * width, "0");
  if (value < 0n || digits.length > 2 * width) throw new HushbeatError("bad-message");
  return Uint8Array.from({ length: width }, (_, i) => parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

export function bitLength(value) {
  return value === 0n ? 0 : value.toString(2).length;
}
