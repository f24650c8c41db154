// The board shows a picture. You draw it with mouse, pen or finger, drop or open a file, or choose a test image.

import { blank, draw, LINE } from "./pixels.js";

const LARGEST = 2048; // pixels per side; some browsers do not draw larger images

export class Board {
  // Calls changed(picture, strokes) with each new picture, and failed(message) if a file is not an image. The strokes of a drawing
  // are lists of points [x, y] in pixels of the board; an image has null.
  constructor(canvas, changed, failed) {
    Object.assign(this, { canvas, changed, failed, strokes: [], isDown: false, opened: 0 });
    this.drawing = canvas.getContext("2d", { willReadFrequently: true });
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.line(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { this.isDown = false; });
    this.wipe();
  }

  clear() {
    this.wipe();
    this.changed(this.canvas, this.strokes);
  }

  // source: a file, or an image on the page
  async open(source) {
    const number = ++this.opened;
    const image = await decoded(source).catch(() => null);
    if (number < this.opened) return; // another image was chosen in the meantime
    if (image) await this.show(image);
    else this.failed(`expected an image that this browser can read. Received: ${source.name}${source.type ? `, ${source.type}` : ""}`);
  }

  show(image) {
    const picture = blank(image.width, image.height);
    picture.getContext("2d").drawImage(image, 0, 0);
    this.wipe();
    this.strokes = null;
    this.drawing.imageSmoothingEnabled = image.width > this.canvas.width;
    this.drawing.drawImage(image, 0, 0, this.canvas.width, this.canvas.height);
    return this.changed(picture, null);
  }

  wipe() {
    this.strokes = [];
    this.drawing.fillStyle = "black";
    this.drawing.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  begin(event) {
    if (event.button !== 0 || !event.isPrimary) return;
    event.preventDefault();
    this.opened++;
    this.canvas.setPointerCapture(event.pointerId);
    if (!this.strokes) this.wipe();
    this.strokes.push([this.place(event)]);
    this.isDown = true;
    this.line(event);
  }

  line(event) {
    if (!this.isDown) return;
    const stroke = this.strokes.at(-1), last = stroke.at(-1);
    stroke.push(this.place(event));
    draw(this.drawing, [[last, stroke.at(-1)]], LINE);
    this.changed(this.canvas, this.strokes);
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [
      ((event.clientX - box.left) * this.canvas.width) / box.width,
      ((event.clientY - box.top) * this.canvas.height) / box.height,
    ];
  }
}

async function decoded(source) {
  const image = await createImageBitmap(source);
  const scale = LARGEST / Math.max(image.width, image.height);
  if (scale >= 1) return image;
  const [resizeWidth, resizeHeight] = [image.width, image.height].map((side) => Math.max(1, Math.round(side * scale)));
  return createImageBitmap(image, { resizeWidth, resizeHeight, resizeQuality: "high" });
}
