// Draws fields of numbers in colours that colour-blind people can tell apart: viridis, which also keeps its order in grey, and
// purple to orange with white in the middle.

const MAGNITUDE = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const SIGNED = ["#2d004b", "#542788", "#8073ac", "#b2abd2", "#f7f7f7", "#fdb863", "#e08214", "#b35806", "#7f3b08"];

// Draws numbers 0..bound, or -bound..bound if they are signed. The canvas gets the size of the field.
export function drawField(canvas, values, height, width, bound, signed) {
  const table = signed ? TABLES.signed : TABLES.magnitude;
  const pixels = new ImageData(width, height);
  for (let p = 0; p < values.length; p++) {
    const share = bound ? values[p] / bound : 0;
    const entry = Math.round(255 * Math.min(1, Math.max(0, signed ? (share + 1) / 2 : share)));
    pixels.data.set(table.subarray(3 * entry, 3 * entry + 3), 4 * p);
    pixels.data[4 * p + 3] = 255;
  }
  put(canvas, pixels);
}

// Draws (H, W, C) values 0..255, grey or colour.
export function drawImage(canvas, values, [height, width, channels]) {
  const pixels = new ImageData(width, height);
  for (let p = 0; p < height * width; p++) {
    for (let c = 0; c < 3; c++) pixels.data[4 * p + c] = values[p * channels + (c % channels)];
    pixels.data[4 * p + 3] = 255;
  }
  put(canvas, pixels);
}

function put(canvas, pixels) {
  canvas.width = pixels.width;
  canvas.height = pixels.height;
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

function table(stops) {
  const colours = stops.map((stop) => [1, 3, 5].map((at) => parseInt(stop.slice(at, at + 2), 16)));
  const entries = new Uint8Array(3 * 256);
  for (let entry = 0; entry < 256; entry++) {
    const place = (entry / 255) * (colours.length - 1);
    const low = Math.min(Math.floor(place), colours.length - 2);
    for (let c = 0; c < 3; c++) entries[3 * entry + c] = colours[low][c] + (place - low) * (colours[low + 1][c] - colours[low][c]);
  }
  return entries;
}

const TABLES = { magnitude: table(MAGNITUDE), signed: table(SIGNED) };
