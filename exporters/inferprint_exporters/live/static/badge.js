// <inferprint-badge>: what one answer cost, from the `usage.footprint` of its reply.
//
//   <inferprint-badge footprint='{"energy_joules": 864, ...}'>0.24 Wh</inferprint-badge>
//
// It is a module, to be loaded by its address or inlined.
// `footprint` is an attribute (JSON) and a property (an object). `show` is energy, carbon or cost.
// Without a footprint the element shows what stands inside it. One file, on its own: the live page
// takes its figures from here too, so that there is one rule for them.

// ---- figures: the rules of inferprint.readable ---------------------------------------------

export const UNKNOWN = "unknown";
export const CARBON = "g CO2e";
export const MATERIALS = "g Sb eq";
const MOST_DIGITS = 3;
const LEAST = 1e-6;
const MOST = 1e15;
const SIZES = { n: 1e-9, µ: 1e-6, m: 1e-3, "-": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12 };

const scale = (size, name) => ({ begins: size > 1 ? size : size / 10, size, name });
const si = (unit, prefixes) =>
  [...prefixes].map((prefix) => scale(SIZES[prefix], prefix.replace("-", "") + unit));

const SCALES = {
  J: si("J", "nµm-kMGT"),
  Wh: si("Wh", "nµm-kMGT"),
  W: si("W", "-kM"),
  L: [...si("L", "nµm-"), scale(1e3, "m³")],
  s: [
    ...si("s", "µm-"),
    { begins: 120, size: 60, name: "min" },
    { begins: 7200, size: 3600, name: "h" },
    { begins: 172800, size: 86400, name: "days" },
  ],
  [CARBON]: [...si(CARBON, "nµm-k"), scale(1e6, "t CO2e"), scale(1e9, "kt CO2e")],
  [MATERIALS]: [...si(MATERIALS, "nµm-k"), scale(1e6, "t Sb eq")],
};

const exactly = (value) => (Array.isArray(value) ? value : [value, value, value]);

/** A figure for people. `value`: a number or [low, mid, high] in `unit`; null: not known. */
export function figure(value, unit, interval = false) {
  if (value === null || value === undefined) return UNKNOWN;
  const [low, mid, high] = exactly(value);
  const fit = scaleOf([low, mid, high], unit);
  const text = `${number([low, mid, high], fit)} ${fit.name}`.trim();
  if (!interval || low === high) return text;
  const place = placeOf([low, mid, high], fit);
  const [from, to] = [low, high].map((end) => {
    const scaled = end / fit.size;
    return written(scaled, withinDigits(place, first(scaled)));
  });
  return from === to ? text : `${text} (${from} to ${to})`;
}

/** Joules as Wh. */
export function inWh(joules, interval = false) {
  if (joules === null || joules === undefined) return UNKNOWN;
  return figure(exactly(joules).map((joule) => joule * (1 / 3600)), "Wh", interval);
}

export function scaleOf(value, unit) {
  const scales = SCALES[unit] ?? [{ begins: 0, size: 1, name: unit }];
  const range = exactly(value);
  const mid = Math.abs(range[1]);
  if (!(mid > 0 && mid < Infinity)) return scales.find((one) => one.size === 1) ?? scales[0];
  const found = fitting(scales, mid);
  return fitting(scales, Math.abs(Number(number(range, found))) * found.size);
}

const fitting = (scales, mid) => scales.findLast((one) => mid >= one.begins) ?? scales[0];

export function number(value, { size }) {
  const range = exactly(value);
  const text = written(range[1] / size, placeOf(range, { size }));
  if (range[0] !== range[2]) return text;
  const [digits, exponent] = text.split("e");
  const short = digits.includes(".") ? digits.replace(/\.?0+$/, "") : digits;
  return exponent === undefined ? short : `${short}e${exponent}`;
}

function placeOf([low, mid, high], { size }) {
  const half = (high - low) / size / 2;
  const top = first(mid / size);
  if (!(half > 0 && half < Infinity)) return Math.min(0, (top ?? 0) - MOST_DIGITS + 1);
  return withinDigits(Math.floor(Math.log10(half / 2)), top);
}

function first(value) {
  const size = Math.abs(value);
  return size > 0 && size < Infinity ? Math.floor(Math.log10(size)) : null;
}

const withinDigits = (place, top) =>
  top === null ? place : Math.min(Math.max(place, top - MOST_DIGITS + 1), top);

function written(value, place) {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size && !(size >= LEAST && size < MOST)) {
    const text = toPower(size, Math.max(0, (first(value) ?? 0) - place));
    return value < 0 ? `-${text}` : text;
  }
  const text = place > 0 ? toTens(size, place) : toPlaces(size, -place);
  if (!Number(text)) return "0";
  return value < 0 ? `-${text}` : text;
}

// Halves go to the even digit, as in Python.
function toTens(size, place) {
  const ten = 10 ** place;
  const rest = size % ten;
  let count = Math.round((size - rest) / ten);
  if (rest > ten / 2 || (rest === ten / 2 && count % 2)) count += 1;
  return String(count * ten);
}

function toPlaces(size, places) {
  return evened(size.toFixed(places), size.toFixed(Math.min(100, places + FAR)), places);
}

function toPower(size, places) {
  const [digits, power] = size.toExponential(places).split("e");
  const [exact] = size.toExponential(places + FAR).split("e");
  return `${evened(digits, exact, places)}e${Number(power)}`;
}

const FAR = 60; // so many digits further no number but a half looks like one

/** What was rounded up from a half, rounded down where that is even. */
function evened(text, exact, places) {
  const isHalf = /^50*$/.test(exact.split(".")[1]?.slice(places) ?? "");
  if (!isHalf || "02468".includes(text.at(-1))) return text;
  return (Number(text) - 10 ** -places).toFixed(places);
}

// ---- the element -----------------------------------------------------------------------------

export const PROVENANCE = {
  measured: "a meter counted it",
  prorated: "a share of what a meter counted over a longer time",
  modelled: "no meter counted it: a power model of the hardware says so",
  unknown: "nothing tells how much it was",
};

const STYLE = `
:host { display: inline-block; font: 0.85em/1.4 system-ui, sans-serif; }
button { font: inherit; color: inherit; background: none; border: 1px solid currentColor;
  border-radius: 999px; padding: 0.05em 0.7em; cursor: pointer; }
button:focus-visible { outline: 2px solid; outline-offset: 2px; }
[part="details"] { position: fixed; inset: auto; margin: 0; font: 0.9rem/1.4 system-ui, sans-serif;
  min-width: 17em; max-width: 90vw; padding: 0.7em 0.9em; border: 1px solid GrayText;
  border-radius: 0.5em; background: Canvas; color: CanvasText; color-scheme: light dark;
  box-shadow: 0 0.3em 1em rgb(0 0 0 / 0.25); }
dl { display: grid; grid-template-columns: auto auto; gap: 0.15em 1em; margin: 0; }
dt.part { padding-left: 1em; }
dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
p { margin: 0.6em 0 0; max-width: 24em; }
`;

const known = (value) => (Number.isFinite(value) ? value : null);

function range(ends) {
  const found = [ends?.low, ends?.mid, ends?.high].map(known);
  return found.includes(null) ? null : found;
}

/** What a footprint says, as [name, text, is a part of the one above]; nothing unknown but `must`. */
export function told(footprint) {
  const energy = known(footprint.energy_joules);
  const active = known(footprint.active_joules);
  const idle = known(footprint.idle_joules);
  const all = energy !== null && active !== null && idle !== null;
  const waiting = all ? Math.max(0, energy - active - idle) : null;
  const rows = [
    ["Energy", inWh(energy), false, true],
    ["computing", inWh(active), true],
    ["idle draw while it ran", inWh(idle), true],
    ["its share of waiting", inWh(waiting), true],
    ["Carbon", figure(range(footprint.carbon_grams), CARBON, true), false, true],
    ["Water", figure(known(footprint.water_liters), "L"), false],
    ["Cost", money(footprint), false],
  ];
  return rows.filter((row) => row[3] || row[1] !== UNKNOWN);
}

function money(footprint) {
  return figure(known(footprint.cost?.amount), String(footprint.cost?.currency ?? ""));
}

function headline(footprint, show) {
  if (show === "carbon") return figure(range(footprint.carbon_grams), CARBON);
  if (show === "cost") return money(footprint);
  return inWh(known(footprint.energy_joules));
}

function element(name, text = "", properties = {}) {
  const made = Object.assign(document.createElement(name), properties);
  made.textContent = text; // never markup
  return made;
}

class InferprintBadge extends HTMLElement {
  static observedAttributes = ["footprint", "show"];
  #footprint = null;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet(); // a style element would need an exception of a strict CSP
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
  }

  connectedCallback() {
    this.#draw();
  }

  attributeChangedCallback(name, _old, text) {
    if (name === "footprint") this.#footprint = parsed(text);
    this.#draw();
  }

  get footprint() {
    return this.#footprint;
  }

  set footprint(value) {
    this.#footprint = value && typeof value === "object" ? value : null;
    this.#draw();
  }

  #draw() {
    const footprint = this.#footprint;
    if (!footprint) {
      this.shadowRoot.replaceChildren(document.createElement("slot"));
      return;
    }
    const figureText = headline(footprint, this.getAttribute("show"));
    const provenance = String(footprint.provenance ?? UNKNOWN);
    const words = figureText === UNKNOWN ? `footprint ${UNKNOWN}` : `${figureText} · ${provenance}`;
    const about = footprint.is_estimated ? `${words} so far` : words;
    const button = element("button", about, { type: "button" });
    button.setAttribute("part", "button");
    button.setAttribute("aria-label", `What this answer cost: ${about}. Details`);
    const box = details(footprint, provenance);
    popUp(button, box);
    this.shadowRoot.replaceChildren(button, box);
  }
}

/** A box above all else on the page, that the button opens; Escape or a click elsewhere shuts it. */
function popUp(button, box) {
  box.popover = "auto";
  button.popoverTargetElement = box;
  button.setAttribute("aria-expanded", "false");
  box.addEventListener("toggle", ({ newState }) => {
    const isOpen = newState === "open";
    button.setAttribute("aria-expanded", String(isOpen));
    if (!isOpen) return;
    const { left, top, bottom } = button.getBoundingClientRect();
    const { width, height } = box.getBoundingClientRect();
    const below = bottom + 6;
    const fits = below + height <= innerHeight || top - 6 - height < 0;
    box.style.left = `${Math.max(4, Math.min(left, innerWidth - width - 4))}px`;
    box.style.top = `${fits ? below : top - 6 - height}px`;
  });
}

function details(footprint, provenance) {
  const box = element("div");
  box.setAttribute("part", "details");
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", "What this answer cost");
  const list = element("dl");
  for (const [name, text, isPart] of told(footprint)) {
    list.append(element("dt", name, { className: isPart ? "part" : "" }), element("dd", text));
  }
  const meaning = PROVENANCE[provenance] ?? "";
  box.append(list, element("p", meaning ? `${provenance}: ${meaning}.` : provenance));
  if (footprint.is_estimated) box.append(element("p", "An estimate so far: not settled yet."));
  if (footprint.request_id) box.append(element("p", `Request ${footprint.request_id}`));
  return box;
}

function parsed(text) {
  try {
    const value = JSON.parse(text);
    return value && typeof value === "object" ? value : null;
  } catch {
    return null; // no footprint: what stands inside the element is shown
  }
}

if (!customElements.get("inferprint-badge")) {
  customElements.define("inferprint-badge", InferprintBadge);
}
