/**
 * Waveform and spectrogram of a recording, drawn in the browser before anything leaves it. Heart
 * sounds lie below some 600 Hz, so that is the part of the spectrogram that is shown.
 */

import { HushbeatError } from "./errors.js";
import { hann, powerSpectrum } from "./fft.js";

const SAMPLE_RATE = 8000;
const WINDOW = 512;
const TOP_HZ = 600;
const RANGE_DB = 55;
// Dark blue, teal, sand: brightness rises evenly, so it also reads without colour vision.
const COLOURS = [
  [13, 27, 42],
  [18, 66, 84],
  [26, 116, 117],
  [112, 166, 124],
  [221, 203, 140],
  [252, 243, 218],
];

/** The recording as mono samples at 8 kHz; an error if this browser cannot decode it. */
export async function decode(bytes) {
  const context = new OfflineAudioContext(1, 1, SAMPLE_RATE);
  let audio;
  try {
    audio = await context.decodeAudioData(bytes.slice().buffer);
  } catch {
    throw new HushbeatError("cannot-decode");
  }
  return { samples: audio.getChannelData(0), seconds: audio.duration };
}

/** Draws one filled line from the smallest to the largest sample of every column. */
export function drawWaveform(canvas, samples) {
  const { context, width, height } = prepared(canvas);
  const peak = samples.reduce((top, sample) => Math.max(top, Math.abs(sample)), 1e-6);
  context.fillStyle = getComputedStyle(canvas).color;
  for (let x = 0; x < width; x++) {
    const from = Math.floor((x * samples.length) / width);
    const to = Math.max(from + 1, Math.floor(((x + 1) * samples.length) / width));
    let low = samples[from] ?? 0;
    let high = low;
    for (let i = from; i < to; i++) {
      if (samples[i] < low) low = samples[i];
      if (samples[i] > high) high = samples[i];
    }
    const top = (1 - high / peak) * 0.5 * height;
    const bottom = (1 - low / peak) * 0.5 * height;
    context.fillRect(x, top, 1, Math.max(1, bottom - top));
  }
}

/** Draws time from left to right, 0 to 600 Hz from bottom to top, the loudest 55 dB. */
export function drawSpectrogram(canvas, samples) {
  const { context, width, height } = prepared(canvas);
  const bins = Math.ceil((TOP_HZ / SAMPLE_RATE) * WINDOW);
  const window = hann(WINDOW);
  const columns = [];
  let loudest = 1e-12;
  for (let x = 0; x < width; x++) {
    const start = Math.round((x / width) * Math.max(0, samples.length - WINDOW));
    const frame = window.map((weight, i) => weight * (samples[start + i] ?? 0));
    const power = powerSpectrum(frame).subarray(0, bins);
    for (const value of power) if (value > loudest) loudest = value;
    columns.push(power);
  }
  const image = context.createImageData(width, height);
  columns.forEach((power, x) => {
    for (let y = 0; y < height; y++) {
      const position = ((height - 1 - y) / (height - 1)) * (bins - 1);
      const bin = Math.floor(position);
      const next = power[Math.min(bin + 1, bins - 1)];
      const value = power[bin] + (next - power[bin]) * (position - bin);
      const level = 1 + (10 * Math.log10((value + 1e-12) / loudest)) / RANGE_DB;
      image.data.set([...colour(Math.min(1, Math.max(0, level))), 255], 4 * (y * width + x));
    }
  });
  context.putImageData(image, 0, 0);
}

/** A canvas whose pixels are the screen's, as wide as the page shows it. */
function prepared(canvas) {
  const scale = Math.min(2, window.devicePixelRatio || 1);
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * scale));
  canvas.height = Math.max(2, Math.round(canvas.clientHeight * scale));
  return { context: canvas.getContext("2d"), width: canvas.width, height: canvas.height };
}

function colour(level) {
  const position = level * (COLOURS.length - 1);
  const at = Math.min(COLOURS.length - 2, Math.floor(position));
  return COLOURS[at].map((value, i) => value + (COLOURS[at + 1][i] - value) * (position - at));
}
