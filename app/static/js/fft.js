/** A radix-2 fast Fourier transform for the spectrogram; speed matters little here. */

/** Power of the first size/2 frequencies of a real signal of `size` samples, a power of two. */
export function powerSpectrum(signal) {
  const size = signal.length;
  const re = new Float64Array(size);
  const im = new Float64Array(size);
  const bits = Math.log2(size);
  for (let i = 0; i < size; i++) {
    let reversed = 0;
    for (let bit = 0; bit < bits; bit++) reversed |= ((i >> bit) & 1) << (bits - 1 - bit);
    re[reversed] = signal[i];
  }
  for (let half = 1; half < size; half *= 2) {
    for (let k = 0; k < half; k++) {
      const angle = (-Math.PI * k) / half;
      const cos = Math.cos(angle);
      const sin = Math.sin(angle);
      for (let i = k; i < size; i += 2 * half) {
        const j = i + half;
        const oddRe = re[j] * cos - im[j] * sin;
        const oddIm = re[j] * sin + im[j] * cos;
        re[j] = re[i] - oddRe;
        im[j] = im[i] - oddIm;
        re[i] += oddRe;
        im[i] += oddIm;
      }
    }
  }
  return Float64Array.from({ length: size / 2 }, (_, i) => re[i] ** 2 + im[i] ** 2);
}

/** Hann window of that many samples. */
export function hann(size) {
  return Float64Array.from({ length: size }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / size));
}
