// Puts what the server tells on the page: at most once a frame, and each panel no oftener than a
// person can read it.

import { Chart } from "./chart.js";
import { $, h, say } from "./dom.js";
import { listen } from "./feed.js";
import { List } from "./list.js";
import * as panels from "./panels.js";
import { State } from "./state.js";
import { MODES, cost, percent, plural, waiting } from "./words.js";

const EVERY_MS = { list: 200, latest: 1000, panels: 1000, said: 10_000 };
const CLOCK_OFF_S = 60;

const state = new State();
const list = new List(state);
const chart = new Chart($("chart"));
const notices = new Map();
const drawnAt = { list: -Infinity, latest: -Infinity, panels: -Infinity, said: 0 };
let mode = "energy";
let isAsked = false;

function ask() {
  if (isAsked) return;
  isAsked = true;
  requestAnimationFrame(draw);
}

/** One panel a frame: none of them makes a frame late. */
function draw(now) {
  isAsked = false;
  const isDue = (name) => now - drawnAt[name] >= EVERY_MS[name];
  const name = Object.keys(DRAW).find(isDue);
  if (!name) return;
  drawnAt[name] = now;
  DRAW[name]();
  ask();
}

const DRAW = {
  list: () => list.draw(),
  latest: () => {
    if (!list.isPaused) $("latest").replaceChildren(...panels.latest(state.latest, mode));
    $("all").replaceChildren(...panels.all(state.now, mode));
  },
  panels: () => {
    const findings = state.hello?.findings ?? [];
    chart.draw(state.past, mode, state.latest?.currency ?? "", MODES[mode].lacks);
    renew("models", panels.models(state.now, mode));
    renew("quotes", panels.quotes(state.rows));
    renew("devices", panels.devices(state.now, findings));
  },
  said: () => say($("said"), summary()),
};

/** New content, but not under the eyes of somebody whose focus is in it. */
function renew(id, nodes) {
  if (!$(id).contains(document.activeElement)) $(id).replaceChildren(...nodes);
}

function summary() {
  const { latest, now } = state;
  if (!latest) return "";
  const share = waiting(latest);
  const words = share === null ? "" : `, ${percent(share)} waiting`;
  return `${plural(now?.all?.requests ?? state.rows.length, "request")}. The latest: ${cost(latest, mode)}${words}, ${latest.provenance}.`;
}

function notice(name, text) {
  if ((notices.get(name) ?? "") === text) return;
  notices.set(name, text);
  $("notices").replaceChildren(...[...notices.values()].filter(Boolean).map((one) => h("p", { class: "notice" }, one)));
}

let errorsBefore = null;

/** What is wrong, said once, and only while it goes on. */
function tellFaults(now) {
  const off = now.at - Date.now() / 1000;
  notice("clock", Math.abs(off) > CLOCK_OFF_S
    ? `This computer's clock and the server's differ by ${hours(Math.abs(off))}. Times here are the server's.` : "");
  const errors = now.errors ?? [];
  const grown = errors.filter(([source, kind, count]) => count > (errorsBefore?.get(`${source} ${kind}`) ?? count));
  errorsBefore = new Map(errors.map(([source, kind, count]) => [`${source} ${kind}`, count]));
  const silent = (now.devices ?? []).filter((device) => device.silent_s > 5);
  const what = silent.map((device) => device.name || device.id).join(", ");
  if (what) notice("source", `Not being read now: ${what}${grown.map(([source, kind]) => ` (${source}: ${kind})`).join("")}. What it draws is unknown, and is on no receipt.`);
  else notice("source", grown.length ? `Readings fail: ${grown.map(([source, kind, count]) => `${source}, ${kind}, ${count} times`).join("; ")}` : "");
  const dropped = Object.values(now.dropped ?? {}).reduce((sum, one) => sum + one, 0);
  notice("dropped", dropped ? `${plural(dropped, "receipt")} could not be handed over: the sums are too low.` : "");
}

const hours = (seconds) => (seconds < 5400 ? `${Math.round(seconds / 60)} minutes` : `${(seconds / 3600).toFixed(1)} hours`);

function modes() {
  for (const [name, { name: said }] of Object.entries(MODES)) {
    const input = h("input", { type: "radio", name: "mode", value: name, checked: name === mode, onchange: () => choose(name) });
    $("modes").append(h("label", {}, input, h("span", {}, said)));
  }
}

function choose(name) {
  mode = name;
  list.show(name);
  for (const one of Object.keys(drawnAt)) drawnAt[one] = -Infinity;
  ask();
}

modes();
$("words").replaceChildren(...panels.words(null));
ask();
listen(
  {
    hello: (hello) => {
      if (state.greet(hello)) {
        list.clear();
        errorsBefore = null;
        notice("restart", "The server was restarted: figures begin anew.");
        setTimeout(() => notice("restart", ""), 20_000);
      }
      $("words").replaceChildren(...panels.words(hello));
    },
    past: (samples) => { state.past = samples; },
    receipts: (rows) => { state.add(rows); ask(); },
    state: (now) => { state.tell(now); tellFaults(now); ask(); },
  },
  (link, silent) => {
    $("link").dataset.is = state.now ? link : "waiting";
    say($("link"), link === "live" ? (state.now ? "live" : "connecting") : `no answer for ${silent} s: trying again`);
    ask();
  },
);
