// Energy over time: what the devices draw, stacked by what it is for.

import { CARBON, figure, number, scaleOf } from "./badge.js";
import { h, s, say } from "./dom.js";
import { PARTS } from "./words.js";

const [HEIGHT, LEFT, BOTTOM, TOP] = [150, 72, 22, 10];
const LONGEST_S = 300;
const SHORTEST_S = 60;

/** Mean watts of each part between two samples; null where a part is not known. */
function step(before, after) {
  const seconds = after[0] - before[0];
  const rate = (place) => Math.max(0, after[place] - before[place]) / seconds;
  const [active, idle, standing] = [rate(1), rate(2), rate(3)];
  const pue = after[4];
  const overhead = pue === null ? null : (active + idle + standing) * (pue - 1);
  return { from: before[0], to: after[0], watts: [active, idle, standing, overhead], after };
}

const RATES = {
  energy: { unit: "W", per: () => 1, what: "power" },
  carbon: { unit: CARBON, per: (sample) => (sample[5] === null ? null : sample[5] * 3600), what: "carbon of the electricity for each hour" },
  cost: { unit: "", per: (sample) => (sample[6] === null ? null : sample[6] * 3600), what: "cost of the electricity for each hour" },
};

export class Chart {
  constructor(root) {
    this.width = 720;
    this.drawing = s("svg", { role: "img", height: HEIGHT });
    this.areas = PARTS.map(([part]) => s("path", { class: `part-${part}` }));
    this.axes = s("g", { class: "axes" });
    this.drawing.append(...this.areas, this.axes);
    this.note = h("p", { class: "quiet" });
    this.legend = PARTS.map(([part, name, meaning]) => {
      const value = h("strong");
      const item = h("li", { title: meaning }, h("i", { class: `swatch part-${part}` }), `${name} `, value);
      return { item, value };
    });
    root.append(h("ul", { class: "legend" }, this.legend.map(({ item }) => item)), this.drawing, this.note);
    // Asked of the browser, not measured: measuring would lay the page out at every drawing.
    new ResizeObserver(([{ contentRect }]) => { this.width = contentRect.width || this.width; }).observe(root);
  }

  draw(past, mode, currency, lacks) {
    const { unit, per, what } = RATES[mode];
    const written = (value) => figure(value, unit || currency) + (mode === "energy" ? "" : "/h");
    const last = past.at(-1);
    const begin = last ? Math.max(last[0] - LONGEST_S, past[0][0]) : 0;
    const steps = past.slice(1).map((sample, place) => step(past[place], sample));
    const shown = steps.filter(({ from, to }) => to > begin && to > from);
    const isKnown = shown.length > 0 && per(last) !== null;
    this.drawing.classList.toggle("blank", !isKnown);
    if (!isKnown) {
      this.legend.forEach(({ value }) => say(value, ""));
      say(this.note, shown.length ? lacks : "The first seconds are being measured.");
      return;
    }
    const scaled = shown.map(({ from, to, watts, after }) => {
      const times = per(after) ?? 0;
      return { from, to, values: watts.map((value) => (value === null ? null : value * times)) };
    });
    const now = meanOf(scaled.slice(-3));
    this.legend.forEach(({ value }, place) => say(value, written(now[place])));
    this.drawAreas(scaled, begin, last[0], written);
    const words = PARTS.map(([, name], place) => `${name} ${written(now[place])}`).join(", ");
    this.drawing.setAttribute("aria-label", `The ${what} of the last seconds: ${words}`);
    say(this.note, `${what[0].toUpperCase()}${what.slice(1)} that requests cause, and of the waiting for them; the figures are of the last seconds. Other processes' energy is in the books below.`);
  }

  drawAreas(scaled, begin, end, written) {
    const span = Math.max(end - begin, SHORTEST_S);
    const most = nice(Math.max(...scaled.map(({ values }) => sum(values))));
    const x = (at) => (LEFT + ((at - (end - span)) / span) * (this.width - LEFT)).toFixed(1);
    const y = (value) => (HEIGHT - BOTTOM - (value / most) * (HEIGHT - BOTTOM - TOP)).toFixed(1);
    const below = scaled.map(() => 0);
    this.drawing.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    this.areas.forEach((area, part) => {
      const floor = scaled.map(({ from, to }, place) => `L${x(to)},${y(below[place])}L${x(from)},${y(below[place])}`);
      scaled.forEach(({ values }, place) => { below[place] += values[part] ?? 0; });
      const roof = scaled.map(({ from, to }, place) => `${x(from)},${y(below[place])}L${x(to)},${y(below[place])}`);
      area.setAttribute("d", `M${roof.join("L")}${floor.reverse().join("")}Z`);
    });
    this.axes.replaceChildren(...ticks(most, y, written, this.width), ...times(span, end, x, this.width));
  }
}

const sum = (values) => values.reduce((all, value) => all + (value ?? 0), 0);

function meanOf(steps) {
  const seconds = steps.reduce((all, { from, to }) => all + to - from, 0);
  return PARTS.map((_, part) => {
    if (steps.some(({ values }) => values[part] === null)) return null;
    return steps.reduce((all, { from, to, values }) => all + values[part] * (to - from), 0) / seconds;
  });
}

/** The least of 1, 2, 5 times a power of ten that is not below. */
function nice(value) {
  const ten = 10 ** Math.floor(Math.log10(value || 1));
  return ten * [1, 2, 5, 10].find((times) => ten * times >= value);
}

function ticks(most, y, written, width) {
  return [0.5, 1].flatMap((part) => [
    s("line", { x1: LEFT, x2: width, y1: y(most * part), y2: y(most * part) }),
    s("text", { x: LEFT - 6, y: y(most * part), dy: "0.32em", "text-anchor": "end" }, written(most * part)),
  ]);
}

function times(span, end, x, width) {
  const { size, name } = scaleOf(span, "s");
  const place = HEIGHT - 5;
  return [
    s("line", { x1: LEFT, x2: width, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM }),
    s("text", { x: LEFT, y: place }, `${number(Math.round(span), { size })} ${name} ago`),
    s("text", { x: x(end), y: place, "text-anchor": "end" }, "now"),
  ];
}
