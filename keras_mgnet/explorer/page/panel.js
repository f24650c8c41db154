// The panel of one network: its answer, its state at the current step, a table of all states, and its convergence.

import { drawChart } from "./chart.js";
import { element, svgElement } from "./elements.js";
import { drawField, drawImage } from "./heatmap.js";
import { pixelsFor } from "./pixels.js";
import { ALL_CHANNELS, convergence, field, iterations, measureOf, norm, stateAt } from "./states.js";

const MOST_CLASSES = 10;

export class Panel {
  constructor(network) {
    const { description } = network;
    this.network = network;
    this.answer = element("p", { class: "answer", "aria-live": "polite" });
    this.classes = element("ol", { class: "classes", "aria-label": "Probabilities" });
    this.seen = element("canvas", { role: "img", "aria-label": "The image as the network takes it" });
    this.now = element("div", { class: "now" });
    this.said = element("p", { class: "said", "aria-live": "polite" });
    this.table = element("table", { class: "states" });
    this.chart = svgElement("svg", { class: "chart" });
    this.section = element("section", { class: "panel", "aria-label": description.name },
      element("h3", {}, description.name),
      element("p", { class: "about" }, about(description)),
      this.answer,
      this.classes,
      element("div", { class: "views" }, figure(this.seen, "image"), this.now),
      this.said,
      element("div", { class: "evidence" },
        element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "All states" }, this.table),
        element("div", { class: "curve" }, element("p", { class: "measure" }), this.chart),
      ),
    );
  }

  get channels() {
    return Math.max(...this.result.levels.flatMap((level) => level.rows.map((row) => row.states[0].channels)));
  }

  async classify(picture, strokes) {
    const pixels = pixelsFor(this.network.description, picture, strokes);
    this.result = await this.network.run(pixels);
    drawImage(this.seen, pixels, this.network.description.input_shape);
    this.steps = this.result.levels.flatMap(stepsOf);
    this.measure = measureOf(this.result.levels);
    this.lines = this.result.levels.map((level) => ({ name: level.name, points: convergence(level) }));
    this.section.querySelector(".measure").textContent = this.measure.label;
    this.section.querySelector(".curve").hidden = this.lines.every((line) => line.points.length === 0);
    this.showClasses();
  }

  showClasses() {
    const { probabilities } = this.result, { classes } = this.network.description;
    const order = [...classes.keys()].sort((a, b) => probabilities[b] - probabilities[a]).slice(0, MOST_CLASSES);
    this.answer.textContent = `${classes[order[0]]}, ${percent(probabilities[order[0]])}`;
    const shown = classes.length <= MOST_CLASSES ? [...classes.keys()] : order;
    this.classes.replaceChildren(...shown.map((c) => element("li", c === order[0] ? { class: "likeliest" } : {},
      element("span", { class: "class", title: classes[c] }, classes[c]),
      element("meter", { min: 0, max: 1, value: probabilities[c], "aria-label": classes[c] }),
      element("span", { class: "share", "data-probability": probabilities[c] }, percent(probabilities[c])),
    )));
  }

  // Redraws all states, for all channels or for one channel.
  showStates(channel) {
    this.signed = channel !== ALL_CHANNELS;
    const columns = Math.max(...this.result.levels.map(iterations));
    const head = element("tr", {}, element("th", { scope: "col" }, "level"),
      ...[...Array(columns).keys()].map((i) => element("th", { scope: "col" }, i ? `i = ${i}` : "entry")));
    const rows = this.result.levels.flatMap((level) => level.rows.map((row) => this.stateRow(level, row, columns, channel)));
    this.table.replaceChildren(element("caption", {}, "States after each iteration"), head, ...rows);
  }

  stateRow(level, row, columns, channel) {
    const fields = channel < row.states[0].channels ? row.states.map((state) => field(state, channel)) : [];
    row.bound = Math.max(...fields.map((values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)));
    row.canvases = fields.map((values, n) => {
      const { height, width } = row.states[n];
      const label = `${row.symbol} on ${level.name} ${row.first + n ? `after iteration ${row.first + n}` : "at the entry"}, ` +
        `${height} by ${width}, norm ${norm(row.states[n].data).toPrecision(3)}`;
      const canvas = element("canvas", { role: "img", "aria-label": label });
      drawField(canvas, values, height, width, row.bound, this.signed);
      return canvas;
    });
    const cells = [...Array(columns).keys()].map((i) => {
      const canvas = row.canvases[i - row.first];
      return element("td", { "data-level": level.name, "data-i": i }, canvas ?? (stateAt(row, i) ? "–" : ""));
    });
    return element("tr", {}, element("th", { scope: "row" }, element("i", {}, row.symbol), ` ${level.name}`), ...cells);
  }

  // Marks a step. A network with fewer steps stays at its last step.
  showStep(step) {
    const { level, i } = this.steps[Math.min(step, this.steps.length - 1)];
    for (const cell of this.table.querySelectorAll("td")) {
      cell.classList.toggle("current", cell.dataset.level === level.name && Number(cell.dataset.i) === i);
    }
    const shown = level.rows.filter((row) => row.canvases[i - row.first]);
    this.now.replaceChildren(...shown.map((row) => figure(copy(row.canvases[i - row.first]), `${row.symbol}, ${level.name}, i = ${i}`)));
    drawChart(this.chart, this.lines, { name: level.name, i }, this.measure.label);
    this.said.textContent = said(level, i, this.lines, this.measure);
  }
}

// Returns the iterations of a level that have a state.
function stepsOf(level) {
  const all = [...Array(iterations(level)).keys()];
  return all.filter((i) => level.rows.some((row) => stateAt(row, i))).map((i) => ({ level, i }));
}

function percent(probability) {
  return `${(100 * probability).toFixed(1)} %`;
}

function said(level, i, lines, measure) {
  const place = i ? `${level.name}, iteration ${i} of ${iterations(level) - 1}` : `${level.name}, at its entry`;
  const point = lines.find((line) => line.name === level.name).points.find((each) => each.i === i);
  const { height, width, channels } = level.rows.map((row) => stateAt(row, i)).find(Boolean);
  return `${place}: ${height} × ${width}, ${channels} channels${point && i ? `; ${measure.inWords(point.value.toFixed(3))}` : ""}`;
}

function about({ family, step, parameters, data, accuracy, bytes }) {
  const parts = [`${family}, ${step}`, `${parameters.toLocaleString("en")} parameters`, `${(bytes / 1e6).toFixed(2)} MB`];
  if (accuracy !== null) parts.push(`accuracy ${(100 * accuracy).toFixed(2)} % on the test images of ${data}`);
  return parts.join("; ");
}

function figure(canvas, caption) {
  return element("figure", {}, canvas, element("figcaption", {}, caption));
}

function copy(canvas) {
  const made = element("canvas", { "aria-hidden": "true" });
  made.width = canvas.width;
  made.height = canvas.height;
  made.getContext("2d").drawImage(canvas, 0, 0);
  return made;
}
