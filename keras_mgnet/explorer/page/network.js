// Runs a network in the browser: from pixels to probabilities and the states of all iterations.

import * as ort from "./onnxruntime-web/ort.wasm.min.mjs";

ort.env.wasm.numThreads = 1; // more threads need headers that not every web server sends
ort.env.wasm.wasmPaths = new URL("./onnxruntime-web/", import.meta.url).href;

export class Network {
  constructor(description, session) {
    this.description = description;
    this.session = session;
  }

  static async load(description) {
    return new Network(description, await ort.InferenceSession.create(description.file));
  }

  // pixels: Float32Array of (H, W, C) values 0..255
  async run(pixels) {
    const image = new ort.Tensor("float32", pixels, [1, ...this.description.input_shape]);
    const outputs = await this.session.run({ image });
    return {
      probabilities: outputs.probabilities.data,
      levels: this.description.levels.map((level) => ({
        name: level.name,
        rows: level.rows.map((row) => fromZero({ ...row, states: row.outputs.map((name) => state(outputs[name])) })),
      })),
    };
  }
}

function state(tensor) {
  const [, height, width, channels] = tensor.dims;
  return { height, width, channels, data: tensor.data };
}

// If the network has no u^0, the feature u begins at zero.
function fromZero(row) {
  if (row.symbol !== "u" || row.first === 0) return row;
  const [next] = row.states;
  return { ...row, first: 0, states: [{ ...next, data: new Float32Array(next.data.length) }, ...row.states] };
}
