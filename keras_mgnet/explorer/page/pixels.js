// Turns a picture into the pixels that a network takes.

export const LINE = 22; // width of the pen on the board
const FINE = 8; // a drawing is drawn this many times finer than the pixels of the network

// Returns the values 0..255 of a canvas as (H, W, C). The strokes of a drawing are drawn anew, as in the network's data set.
export function pixelsFor({ input_shape: [height, width, channels], ink }, picture, strokes) {
  const scaled = strokes && ink ? written(strokes, width, height, ink) : resized(picture, 0, 0, picture.width, picture.height, width, height);
  const { data } = context(scaled).getImageData(0, 0, width, height);
  const values = new Float32Array(height * width * channels);
  for (let p = 0; p < height * width; p++) {
    const [red, green, blue] = data.subarray(4 * p, 4 * p + 3);
    if (channels === 1) values[p] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16; // Pillow's grey
    else values.set([red, green, blue], 3 * p);
  }
  return values;
}

export function blank(width, height) {
  const canvas = new OffscreenCanvas(width, height);
  context(canvas).fillRect(0, 0, width, height);
  return canvas;
}

function context(canvas) {
  return canvas.getContext("2d", { willReadFrequently: true });
}

function resized(picture, x, y, w, h, width, height) {
  const canvas = blank(width, height), drawing = context(canvas);
  drawing.imageSmoothingQuality = "high";
  drawing.drawImage(picture, x, y, w, h, 0, 0, width, height);
  return canvas;
}

// Draws strokes with a pen of this width.
export function draw(drawing, strokes, lineWidth) {
  Object.assign(drawing, { strokeStyle: "white", lineWidth, lineCap: "round", lineJoin: "round" });
  for (const stroke of strokes) {
    drawing.beginPath();
    drawing.moveTo(...stroke[0]);
    for (const point of stroke.slice(1)) drawing.lineTo(...point);
    drawing.stroke();
  }
}

// Draws strokes anew, in the size, with the pen and with the centre of mass that drawings of the data set have.
function written(strokes, width, height, { size, pen, x, y }) {
  const points = strokes.flat();
  if (!points.length) return blank(width, height);
  const [side, line] = [FINE * Math.min(width, height), FINE * Math.min(width, height) * pen];
  const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
  const [left, right, above, below] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const scale = (side * size - line) / Math.max(right - left, below - above, LINE); // a dot stays a dot
  const placed = ([px, py]) => [side + scale * (px - (left + right) / 2), side + scale * (py - (above + below) / 2)];
  const fine = blank(2 * side, 2 * side);
  draw(context(fine), strokes.map((stroke) => stroke.map(placed)), line);
  const [massX, massY] = centre(fine);
  return resized(fine, massX - x * FINE * width, massY - y * FINE * height, FINE * width, FINE * height, width, height);
}

function centre(canvas) {
  const { data } = context(canvas).getImageData(0, 0, canvas.width, canvas.height);
  let mass = 0, massX = 0, massY = 0;
  for (let p = 0; p < data.length / 4; p++) {
    const value = data[4 * p];
    mass += value; massX += value * ((p % canvas.width) + 0.5); massY += value * (Math.floor(p / canvas.width) + 0.5);
  }
  return [massX / mass, massY / mass];
}
