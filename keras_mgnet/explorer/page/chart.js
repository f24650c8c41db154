// Draws one line per level over its iterations, with the current iteration marked. Lines differ in marks and colour.

import { svgElement } from "./elements.js";

const WIDTH = 420, HEIGHT = 190, LEFT = 40, RIGHT = 70, TOP = 12, BOTTOM = 30;
const MARKS = ["M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0", "M-4-4h8v8h-8z", "M0-5l5 9h-10z", "M0-5l5 5l-5 5l-5-5z"];

// lines: [{name, points: [{i, value}]}]; current: {name, i}
export function drawChart(svg, lines, current, label) {
  const drawn = lines.filter((line) => line.points.length);
  const last = Math.max(1, ...drawn.flatMap((line) => line.points.map((point) => point.i)));
  const top = Math.max(0.01, ...drawn.flatMap((line) => line.points.map((point) => point.value))) * 1.05;
  const x = (i) => LEFT + (i / last) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${label}: ${drawn.map(inWords).join("; ") || "nothing to compare"}`);
  svg.replaceChildren(...axes(x, y, last, top), ...drawn.map((line, n) => series(line, n, current, x, y)));
  svg.append(...names(drawn, y));
}

function inWords({ name, points }) {
  return `${name} ${points.map(({ i, value }) => `${value.toFixed(2)} at ${i}`).join(", ")}`;
}

function axes(x, y, last, top) {
  const apart = tickSize(top);
  const ticks = [...Array(Math.floor(top / apart) + 1).keys()].map((n) => n * apart);
  const iterations = [...Array(last + 1).keys()].filter((i) => i % Math.ceil(last / 8) === 0);
  return [
    ...ticks.map((value) => svgElement("path", { class: "grid", d: `M${LEFT} ${y(value)}H${WIDTH - RIGHT}` })),
    ...ticks.map((value) => text(LEFT - 6, y(value) + 4, String(Number(value.toPrecision(3))), "end")),
    ...iterations.map((i) => text(x(i), HEIGHT - BOTTOM + 16, i, "middle")),
    text(WIDTH - RIGHT + 8, HEIGHT - BOTTOM + 16, "iteration", "start"),
  ];
}

// 1, 2 or 5 times a power of ten: two to five ticks.
function tickSize(top) {
  const power = 10 ** Math.floor(Math.log10(top / 2));
  return [5, 2, 1].map((digit) => digit * power).find((size) => top / size >= 2) ?? power;
}

function series({ name, points }, n, current, x, y) {
  const path = points.map(({ i, value }, at) => `${at ? "L" : "M"}${x(i)} ${y(value)}`).join("");
  const marks = points.map(({ i, value }) => svgElement("path", {
    d: MARKS[n % MARKS.length],
    transform: `translate(${x(i)} ${y(value)}) scale(${current.name === name && current.i === i ? 1.9 : 1})`,
  }));
  return svgElement("g", { class: `line line${n % 4}` }, svgElement("path", { class: "stroke", d: path }), ...marks);
}

// Puts the names at the ends of the lines, and moves them apart if lines end close to each other.
function names(drawn, y) {
  const ends = drawn.map(({ name, points }, n) => ({ name, n, y: y(points.at(-1).value) })).sort((a, b) => a.y - b.y);
  ends.forEach((end, at) => { if (at) end.y = Math.max(end.y, ends[at - 1].y + 13); });
  return ends.map(({ name, n, y }) => {
    const made = text(WIDTH - RIGHT + 8, y + 4, name, "start");
    made.setAttribute("class", `name line${n % 4}`);
    return made;
  });
}

function text(x, y, content, anchor) {
  return svgElement("text", { x, y, "text-anchor": anchor }, String(content));
}
