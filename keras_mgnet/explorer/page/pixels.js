// Turns a picture into the pixels that a network takes.

const INK = 128;

// Returns the values 0..255 of a canvas as (H, W, C). Drawings are moved and scaled as in the network's data set.
export function pixelsFor({ input_shape: [height, width, channels], ink }, picture, isDrawing) {
  const scaled = isDrawing && ink ? placed(picture, width, height, ink) : resized(picture, 0, 0, picture.width, picture.height, width, height);
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

// Scales the ink of a drawing to a box of this share of the side, with its centre of mass in the middle, as in MNIST.
function placed(picture, width, height, share) {
  const { data } = context(picture).getImageData(0, 0, picture.width, picture.height);
  let left = picture.width, right = 0, above = picture.height, below = 0, mass = 0, massX = 0, massY = 0;
  for (let p = 0; p < data.length / 4; p++) {
    const x = p % picture.width, y = Math.floor(p / picture.width), value = data[4 * p];
    mass += value; massX += value * (x + 0.5); massY += value * (y + 0.5);
    if (value >= INK) {
      left = Math.min(left, x); right = Math.max(right, x + 1);
      above = Math.min(above, y); below = Math.max(below, y + 1);
    }
  }
  if (right <= left) return blank(width, height);
  const scale = (share * Math.min(width, height)) / Math.max(right - left, below - above);
  return resized(picture, massX / mass - width / 2 / scale, massY / mass - height / 2 / scale, width / scale, height / scale, width, height);
}
