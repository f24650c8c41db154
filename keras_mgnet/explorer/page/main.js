// The page: one image, one step, and a panel for each network.

import { Board } from "./board.js";
import { element } from "./elements.js";
import { Network } from "./network.js";
import { Panel } from "./panel.js";

const PLAYED = 600; // milliseconds per step
const find = (id) => document.getElementById(id);
const [step, channel, message] = [find("step"), find("channel"), find("message")];

let panels = [], waiting = null, isRunning = false, playing = null;

// Runs the networks on a picture. If several pictures arrive in the meantime, only the last one is used.
async function classify(picture, strokes) {
  waiting = { picture, strokes };
  message.textContent = "";
  if (isRunning) return;
  isRunning = true;
  find("panels").setAttribute("aria-busy", "true");
  try {
    while (waiting) {
      const next = waiting;
      waiting = null;
      for (const panel of panels) await panel.classify(next.picture, next.strokes);
      showResults();
    }
  } catch (error) {
    message.textContent = `A network failed: ${error.message}`;
  } finally {
    isRunning = false;
    find("panels").setAttribute("aria-busy", "false");
  }
}

function showResults() {
  step.max = Math.max(...panels.map((panel) => panel.steps.length)) - 1;
  for (const panel of panels) panel.showStates(Number(channel.value));
  showStep();
}

function showStep() {
  step.setAttribute("aria-valuetext", `step ${step.value} of ${step.max}`);
  for (const panel of panels) panel.showStep(Number(step.value));
}

function goTo(place) {
  step.value = place;
  showStep();
}

function play() {
  if (playing) clearInterval(playing);
  playing = playing ? null : setInterval(() => goTo(step.value === step.max ? 0 : Number(step.value) + 1), PLAYED);
  find("play").textContent = playing ? "Pause" : "Play";
  for (const panel of panels) panel.said.ariaLive = playing ? "off" : "polite";
}

const KEYS = {
  ArrowLeft: () => goTo(Number(step.value) - 1),
  ArrowRight: () => goTo(Number(step.value) + 1),
  Home: () => goTo(0),
  End: () => goTo(step.max),
  " ": play,
};

function listen(board) {
  find("clear").addEventListener("click", () => board.clear());
  find("open").addEventListener("click", () => find("file").click());
  find("file").addEventListener("change", ({ target }) => { if (target.files.length) board.open(target.files[0]); target.value = ""; });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) board.open(event.dataTransfer.files[0]);
  });
  step.addEventListener("input", showStep);
  channel.addEventListener("change", showResults);
  find("previous").addEventListener("click", KEYS.ArrowLeft);
  find("next").addEventListener("click", KEYS.ArrowRight);
  find("play").addEventListener("click", play);
  document.addEventListener("keydown", (event) => {
    const own = event.key === " " ? "button, input, select" : "input, select, .scroll"; // what has a use for the key itself
    if (!KEYS[event.key] || event.target.closest(own) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  document.addEventListener("click", ({ target }) => {
    const cell = target.closest("td[data-level]");
    const owner = panels.find((panel) => panel.section.contains(cell));
    const place = owner?.steps.findIndex(({ level, i }) => level.name === cell.dataset.level && i === Number(cell.dataset.i));
    if (place >= 0) goTo(place);
  });
}

function offerThemes() {
  const button = find("theme"), root = document.documentElement;
  const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const name = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; name(); });
  name();
}

function offerSamples(samples, board) {
  find("samples").append(...samples.map(({ file, label }) => {
    const image = element("img", { src: file, alt: "" });
    const button = element("button", { type: "button", "aria-label": `Test image: ${label}`, title: label }, image);
    button.addEventListener("click", () => board.open(image));
    return button;
  }));
}

function offerChannels() {
  const most = Math.max(...panels.map((panel) => panel.channels));
  channel.append(...[...Array(most).keys()].map((c) => element("option", { value: c }, String(c))));
}

async function start() {
  const { networks, samples, runtime } = await (await fetch("explorer.json")).json();
  find("about").textContent = `Runtime: ${runtime}.`;
  const loaded = await Promise.all(networks.map(Network.load));
  panels = loaded.map((network) => new Panel(network));
  const board = new Board(find("board"), classify, (text) => { message.textContent = text; });
  offerSamples(samples, board);
  find("panels").replaceChildren(...panels.map((panel) => panel.section));
  const image = find("samples").querySelector("img");
  await image.decode();
  await board.open(image);
  if (!panels.every((panel) => panel.result)) return; // the error is already shown
  offerChannels();
  listen(board);
  performance.mark("first-picture");
}

offerThemes();
start().catch((error) => { message.textContent = `The networks could not be loaded: ${error.message}`; });
