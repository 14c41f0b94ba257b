// The list of requests: twenty-five at a time, of all that are kept. A row is made once and moved, not
// drawn anew, so that a hundred a second cost little.

import { detail } from "./detail.js";
import { $, h, say } from "./dom.js";
import { PARTS, clock, cost, percent, plural, waiting } from "./words.js";

const PAGE = 25;
const SORT_MS = 2000;

export class List {
  constructor(state) {
    this.state = state;
    this.made = new Map(); // number of a row -> its element
    this.page = 0;
    this.open = null; // the number of the row that is unfolded
    this.mode = "energy";
    this.isPaused = false;
    this.drawn = "";
    this.sorted = { at: -Infinity, rows: [] };
    $("find").addEventListener("input", () => this.turn(0));
    $("order").addEventListener("change", () => this.turn(0));
    $("newer").addEventListener("click", () => this.turn(this.page - 1));
    $("older").addEventListener("click", () => this.turn(this.page + 1));
    $("pause").addEventListener("click", () => this.pause(!this.isPaused));
  }

  /** While one is read, none moves away. */
  get isHeld() {
    return this.isPaused || this.open !== null || this.page > 0;
  }

  pause(whether) {
    this.isPaused = whether;
    $("pause").setAttribute("aria-pressed", String(whether));
    this.draw(true);
  }

  turn(page) {
    this.page = Math.max(0, page);
    this.sorted.at = -Infinity;
    this.fold();
    this.draw(true);
  }

  show(mode) {
    this.mode = mode;
    this.clear();
    this.sorted.at = -Infinity;
    this.draw(true);
  }

  /** Throws away every row that is drawn: they are another server's, or in another unit. */
  clear() {
    const open = this.open;
    this.fold();
    this.made.clear();
    $("requests").replaceChildren();
    this.reopen = open;
  }

  draw(isAsked = false) {
    const count = this.state.changed;
    if (!isAsked && (this.isHeld || this.drawn === count)) return this.tellWaiting();
    const rows = this.chosen(isAsked);
    this.drawn = count;
    this.seen = this.state.latest?.n ?? 0;
    const last = Math.max(0, Math.ceil(rows.length / PAGE) - 1);
    this.page = Math.min(this.page, last);
    const shown = rows.slice(this.page * PAGE, (this.page + 1) * PAGE);
    this.place(shown);
    this.tellWhere(shown.length, rows.length);
    return this.tellWaiting();
  }

  /** The rows that were asked for, in the order asked for. */
  chosen(isAsked) {
    const words = $("find").value.trim().toLowerCase();
    const isCostly = $("order").value === "cost";
    const now = performance.now();
    if (isCostly && !isAsked && now - this.sorted.at < SORT_MS) return this.sorted.rows;
    let rows = this.state.rows;
    if (words) rows = rows.filter((row) => textOf(row).includes(words));
    rows = rows === this.state.rows ? rows.slice() : rows;
    rows.reverse();
    if (isCostly) rows.sort((one, other) => amount(other, this.mode) - amount(one, this.mode));
    this.sorted = { at: now, rows };
    return rows;
  }

  place(rows) {
    const wanted = new Set(rows.map((row) => row.n));
    for (const [number, item] of this.made) {
      if (!wanted.has(number)) {
        item.remove();
        this.made.delete(number);
      }
    }
    let before = $("requests").firstElementChild;
    for (const row of rows) {
      const item = this.made.get(row.n) ?? this.item(row);
      if (item === before) before = before.nextElementSibling;
      else $("requests").insertBefore(item, before);
    }
  }

  item(row) {
    const item = rowItem(row, this.mode, (button) => this.toggle(row, item, button));
    this.made.set(row.n, item);
    return item;
  }

  toggle(row, item, button) {
    const wasOpen = this.open === row.n;
    this.fold();
    if (wasOpen) return this.draw(true);
    this.open = row.n;
    button.setAttribute("aria-expanded", "true");
    const box = h("div", { class: "detail" }, "loading");
    item.append(box);
    detail(this.state.hello, row).then((found) => box.replaceChildren(...found));
    return this.tellWaiting();
  }

  fold() {
    const item = this.made.get(this.open);
    item?.querySelector("button").setAttribute("aria-expanded", "false");
    item?.querySelector(".detail")?.remove();
    this.open = null;
  }

  tellWhere(shown, all) {
    const from = this.page * PAGE;
    say($("where"), all ? `${from + 1} to ${from + shown} of ${all.toLocaleString("en")}` : "");
    $("newer").disabled = this.page === 0;
    $("older").disabled = from + shown >= all;
    const found = $("find").value.trim();
    const none = "No request has ended yet. A request is listed within a second of its end.";
    say($("empty"), all ? "" : found ? "No request that is kept has these words." : none);
  }

  tellWaiting() {
    const missed = (this.state.latest?.n ?? 0) - (this.seen ?? 0);
    const text = this.isPaused ? "Go on" : "Pause";
    say($("pause"), this.isHeld && missed > 0 ? `${text} (${plural(missed, "new request")})` : text);
  }
}

const textOf = (row) => `${row.model} ${row.id} ${row.outcome} ${row.provenance} ${row.flags.join(" ")}`.toLowerCase();

function amount(row, mode) {
  const found = mode === "energy" ? row.total : row[mode];
  return found ? found[1] : -1;
}

function rowItem(row, mode, toggle) {
  const share = waiting(row);
  const button = h(
    "button",
    { type: "button", "aria-expanded": "false", onclick: (event) => toggle(event.currentTarget) },
    h("span", { class: "time" }, clock(row.at)),
    h("span", { class: "model" }, row.model || "(no model named)"),
    row.outcome === "ok" ? h("span", { class: "outcome" }) : h("span", { class: "outcome bad" }, `${row.outcome}`),
    h("span", { class: "cost" }, cost(row, mode)),
    stack(row),
    h("span", { class: "waits" }, share === null ? "waiting unknown" : `${percent(share)} waiting`),
    h("span", { class: `chip is-${row.provenance}` }, row.provenance),
  );
  return h("li", { "data-n": row.n }, button);
}

/** A bar of the energy's parts; beside it all is said in words. */
export function stack(row, label = null) {
  const known = PARTS.map(([part]) => [part, row[part]?.[1] ?? 0]);
  const all = known.reduce((total, [, joules]) => total + joules, 0);
  const hidden = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
  const bar = h("span", { class: all ? "stack" : "stack none", ...hidden });
  for (const [part, joules] of all ? known : []) {
    const piece = h("i", { class: `part-${part}` });
    piece.style.flexGrow = String(joules / all);
    bar.append(piece);
  }
  return bar;
}
