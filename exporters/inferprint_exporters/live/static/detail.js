// A receipt unfolded: every part, with its range, and every factor, with its source.

import { CARBON, MATERIALS, PROVENANCE, UNKNOWN, figure, inWh } from "./badge.js";
import { h, table } from "./dom.js";
import { PARTS } from "./words.js";

/** The elements of a row's receipt, asked of the server. */
export async function detail(hello, row) {
  try {
    const reply = await fetch(`receipts/${hello.server}/${row.n}`);
    if (reply.status === 404) return [h("p", {}, "The server does not keep this receipt any more: it keeps the latest ones alone, and none over a restart.")];
    if (!reply.ok) throw new Error(`the server answered ${reply.status}`);
    return drawn(await reply.json(), hello.flags);
  } catch (error) {
    return [h("p", {}, `The receipt could not be had: ${error.message}. Fold it and unfold it to try again.`)];
  }
}

const ends = (range) => (range ? [range.low, range.mid, range.high] : null);
const wh = (range) => inWh(ends(range), true);
const fig = (range, unit) => figure(ends(range), unit, true);

function drawn(receipt, meanings) {
  return [
    h("p", { class: "quiet" }, about(receipt)),
    h("p", {}, h("span", { class: `chip is-${receipt.provenance}` }, receipt.provenance), ` ${PROVENANCE[receipt.provenance] ?? ""}. Every figure is the middle of a range that holds the truth nine times in ten.`),
    receipt.reason ? h("p", {}, `Not known: ${receipt.reason}`) : null,
    flags(receipt.flags, meanings),
    table("Energy", energyRows(receipt.energy)),
    table("What the energy means", meantRows(receipt)),
    ...quoted(receipt),
    ...worked(receipt.work),
    table("Numbers it was computed with", factorRows(receipt.factors)),
    labels(receipt.labels),
    ...children(receipt.children),
  ].filter(Boolean);
}

function about(receipt) {
  const { input, cached_input: cached, output } = receipt.tokens;
  const count = (value) => (value === null ? UNKNOWN : value.toLocaleString("en"));
  const first = receipt.time_to_first_token_s;
  return [
    `Request ${receipt.request_id}`,
    receipt.model,
    receipt.outcome,
    `${figure(receipt.duration_s, "s")}${first === null ? "" : `, first token after ${figure(first, "s")}`}`,
    `prompt tokens ${count(input)}${cached === null ? "" : ` (${count(cached)} cached)`}, output tokens ${count(output)}`,
    `idle energy: ${receipt.idle_policy}`,
    `shared by: ${receipt.attribution_method}`,
  ].join(" · ");
}

function flags(names, meanings) {
  if (!names.length) return null;
  return h("ul", { class: "flags" }, names.map((name) => h("li", {}, h("code", {}, name), ` ${meanings[name] ?? ""}`)));
}

function energyRows(energy) {
  const components = Object.entries(energy.by_component);
  // What rounding leaves of a sum is nothing.
  const isNoise = (range) => range && Math.abs(range.mid) < 1e-9 * (energy.total_j?.mid ?? 0);
  const part = (from, name) => (isNoise(from[`${name}_j`]) ? inWh(0) : wh(from[`${name}_j`]));
  return [
    ["", "all devices", ...components.map(([name, one]) => `${name} (${one.provenance})`)],
    ...PARTS.slice(0, 3).map(([name, said]) => [said, part(energy, name), ...components.map(([, one]) => part(one, name))]),
    ["together", part(energy, "total"), ...components.map(([, one]) => part(one, "total"))],
    ["site overhead, on top", part(energy, "overhead"), ...components.map(() => "")],
  ];
}

function meantRows({ carbon, water, materials, primary_energy: primary, cost, training }) {
  const money = cost?.currency ?? "";
  const kwh = (range) => inWh(range ? ends(range).map((mega) => mega * 1e6) : null, true);
  const rows = [
    ["", "in all", "of using it", "of making the hardware"],
    ["carbon", fig(carbon, CARBON), fig(carbon?.operational_g, CARBON), fig(carbon?.embodied_g, CARBON)],
    ["water", fig(water, "L"), fig(addition(water?.site_l, water?.grid_l), "L"), ""],
    ["materials", fig(materials, MATERIALS), fig(materials?.grid_g, MATERIALS), fig(materials?.embodied_g, MATERIALS)],
    ["primary energy", kwh(primary), kwh(primary?.grid_megajoule), kwh(primary?.embodied_megajoule)],
    ["cost", fig(cost, money), fig(cost?.electricity, money), fig(cost?.hardware, money)],
  ];
  if (training) rows.push(["training, in no sum", fig(training.carbon_g, CARBON), wh(training.energy_j), ""]);
  return rows;
}

function addition(one, other) {
  if (!one || !other) return one ?? other ?? null;
  return { low: one.low + other.low, mid: one.mid + other.mid, high: one.high + other.high };
}

function quoted({ quote, quote_error_ratio: ratio, energy }) {
  if (!quote) return [];
  const error = ratio === null ? UNKNOWN : `${figure(ratio, "times")} what was quoted`;
  return [table("Quoted before it ran", [
    ["", "quoted", "used"],
    ["energy", wh(quote.energy.total_j), `${wh(energy.total_j)}, ${error}`],
    ...(quote.reason ? [["not known because", quote.reason, ""]] : []),
  ])];
}

function worked(work) {
  if (!work) return [];
  return [table("What computing was for", [
    ["", "energy", "for each token"],
    ["running at all, shared", wh(work.shared_j), ""],
    ["prompt", wh(work.prompt_j), wh(work.prompt_j_per_token)],
    ["output", wh(work.output_j), wh(work.output_j_per_token)],
  ])];
}

function factorRows(factors) {
  const range = ({ low, high }) => (low === null && high === null ? "taken as exact" : `${plain(low)} to ${plain(high)}`);
  return [
    ["factor", "value", "range", "holds for", "source"],
    ...factors.map((factor) => [
      factor.name,
      `${plain(factor.value)} ${factor.unit}`,
      range(factor),
      [factor.region, factor.year, factor.basis].filter(Boolean).join(", "),
      [factor.source, factor.licence].filter(Boolean).join(", "),
    ]),
  ];
}

const plain = (value) => (value === null ? "?" : String(Number(value.toPrecision(6))));

function labels(given) {
  const pairs = Object.entries(given).map(([name, value]) => `${name}=${value}`);
  return pairs.length ? h("p", {}, `Labels: ${pairs.join(", ")}`) : null;
}

function children(receipts) {
  if (!receipts.length) return [];
  return [table("Requests inside this one, not in its energy", [
    ["", "energy", "provenance"],
    ...receipts.map((one) => [`${one.request_id} ${one.model}`, wh(one.energy.total_j), one.provenance]),
  ])];
}
