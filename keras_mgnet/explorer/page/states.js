// Computes what the page shows of states: their norms, their images, and the convergence of the iteration.

export const ALL_CHANNELS = -1;

// Returns the state of a row after iteration i; undefined if it is zero, has another shape or is not known.
export function stateAt(row, i) {
  return row.states[i - row.first];
}

export function iterations(level) {
  return Math.max(...level.rows.map((row) => row.first + row.states.length));
}

export function norm(data) {
  return Math.sqrt(data.reduce((sum, value) => sum + value * value, 0));
}

// Returns one number per pixel: the root mean square over the channels, or the value of one channel.
export function field(state, channel) {
  const { data, channels } = state;
  const pixels = new Float32Array(data.length / channels);
  for (let p = 0; p < pixels.length; p++) {
    pixels[p] = channel === ALL_CHANNELS ? norm(data.subarray(p * channels, (p + 1) * channels)) / Math.sqrt(channels) : data[p * channels + channel];
  }
  return pixels;
}

// Returns ||r^i|| / ||r^0|| for a level with residuals, else ||x^i - x^{i-1}|| / ||x^i|| for its first row.
export function convergence(level) {
  const residuals = level.rows.find((row) => row.symbol === "r");
  if (residuals) {
    const norms = residuals.states.map((state) => norm(state.data));
    return norms.map((value, i) => ({ i, value: value / (norms[0] || 1) }));
  }
  const { first, states } = level.rows[0];
  return states.slice(1).map((state, n) => {
    const change = state.data.map((value, p) => value - states[n].data[p]);
    return { i: first + n + 1, value: norm(change) / (norm(state.data) || 1) };
  });
}

// Returns the measure that `convergence` computes for a network.
export function measureOf(levels) {
  return levels.some((level) => level.rows.some((row) => row.symbol === "r")) ? MEASURES.residual : MEASURES.change;
}

const MEASURES = {
  residual: { label: "‖rⁱ‖ / ‖r⁰‖, r = f − A u", inWords: (value) => `the norm of the residual is ${value} times its norm at the entry` },
  change: { label: "‖xⁱ − xⁱ⁻¹‖ / ‖xⁱ‖", inWords: (value) => `the state changed by ${value} times its norm` },
};
