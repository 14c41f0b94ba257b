// The panels beside the list: the latest request, the sums, models, quotes, devices, words.

import { PROVENANCE, UNKNOWN, figure, inWh } from "./badge.js";
import { h, s, table } from "./dom.js";
import { stack } from "./list.js";
import { MODES, PARTS, cost, costOfAll, notComputing, percent, plural, waiting } from "./words.js";

const DEVICE_SILENT_S = 5;

/** What the last request cost, how much of it was waiting, and how that is known. */
export function latest(row, mode) {
  if (!row) return [h("p", { class: "quiet" }, "No request has ended yet.")];
  const parts = PARTS.map(([part, name]) => `${name} ${inWh(row[part])}`);
  return [
    h("p", { class: "big" }, cost(row, mode, true)),
    h("p", { class: "quiet" }, `${row.model || "(no model named)"} · ${row.outcome} · ${figure(row.s, "s")}${row.output === null ? "" : ` · ${plural(row.output, "output token")}`}`),
    stack(row, parts.join(", ")),
    h("ul", { class: "legend" }, PARTS.map(([part, name, meaning], place) =>
      h("li", { title: meaning }, h("i", { class: `swatch part-${part}` }), `${name} `, h("strong", {}, inWh(row[part]))))),
    h("p", {}, h("strong", {}, notComputing(row))),
    h("p", {}, h("span", { class: `chip is-${row.provenance}` }, row.provenance), ` ${PROVENANCE[row.provenance] ?? ""}`),
    cost(row, mode) === UNKNOWN ? h("p", { class: "quiet" }, MODES[mode].lacks) : null,
  ].filter(Boolean);
}

/** What all requests come to. */
export function all(now, mode) {
  const sums = now?.all;
  if (!sums?.requests) return [h("p", { class: "quiet" }, "Nothing to sum yet.")];
  const parts = Object.fromEntries(PARTS.map(([part]) => [part, sums.sums[part] ?? null]));
  const { outcomes } = sums;
  const wasted = (outcomes.error ?? 0) + (outcomes.cancelled ?? 0);
  const running = Object.values(now.in_flight ?? {}).reduce((total, one) => total + one, 0);
  return [
    h("p", { class: "big" }, costOfAll(sums, mode)),
    h("p", { class: "quiet" }, `${plural(sums.requests, "request")}, ${running} running now, ${wasted} cancelled or failed`),
    stack(parts, "the parts of all requests' energy"),
    h("p", {}, h("strong", {}, notComputing({ ...parts, total: sums.sums.total }))),
    h("p", {}, Object.entries(sums.provenances).map(([name, count]) =>
      h("span", { class: `chip is-${name}` }, `${count.toLocaleString("en")} ${name}`))),
  ];
}

/** A line for each model. */
export function models(now, mode) {
  const found = now?.models ?? [];
  if (!found.length) return [h("p", { class: "quiet" }, "No model has served a request yet.")];
  return [table("The models that used most come first", [
    ["model", "requests", MODES[mode].name.toLowerCase(), "for 1,000 output tokens", "waiting"],
    ...found.slice(0, 20).map((line) => [
      `${line.model || "(no model named)"}${line.hosted ? " (elsewhere, in no sum)" : ""}`,
      line.requests.toLocaleString("en"),
      costOfAll(line, mode),
      perThousand(line),
      percent(waiting({ total: line.sums.total, standing: line.sums.standing ?? null })),
    ]),
  ])];
}

function perThousand({ sums, output_tokens: tokens }) {
  if (!sums.total || !tokens) return UNKNOWN;
  return inWh(sums.total.map((joules) => (joules / tokens) * 1000));
}

const QUOTED = 200;

/** How far off quotes were. */
export function quotes(rows) {
  const quoted = rows.slice(-2000).filter((row) => row.quoted && row.total);
  if (!quoted.length) {
    return [h("p", { class: "quiet" }, "No request was quoted before it ran, or nothing was learned yet to quote by.")];
  }
  const inside = quoted.filter((row) => row.quoted[0] <= row.total[1] && row.total[1] <= row.quoted[2]);
  const ratios = quoted.map((row) => row.total[1] / row.quoted[1]).sort((one, other) => one - other);
  const middle = ratios[Math.floor(ratios.length / 2)];
  return [
    h("p", {}, `Of the latest ${plural(quoted.length, "quoted request")}, `, h("strong", {}, percent(inside.length / quoted.length)), " used what their quote's range said (nine in ten is the aim). The middle one used ", h("strong", {}, percent(middle)), " of its quote."),
    dots(quoted.slice(-QUOTED)),
  ];
}

/** A dot for each quoted request: how much it used of what was quoted, the latest on the right. */
function dots(rows) {
  const [width, height] = [360, 120];
  const drawing = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", class: "dots", "aria-label": "Used over quoted, on a logarithmic scale from a quarter to four times" });
  const y = (ratio) => height / 2 - (Math.max(-2, Math.min(2, Math.log2(ratio))) / 2) * (height / 2 - 8);
  for (const [ratio, text] of [[4, "4 ×"], [2, "2 ×"], [1, "as quoted"], [0.5, "½"], [0.25, "¼"]]) {
    drawing.append(s("line", { x1: 60, x2: width, y1: y(ratio), y2: y(ratio) }), s("text", { x: 54, y: y(ratio), dy: "0.32em", "text-anchor": "end" }, text));
  }
  rows.forEach((row, place) => {
    const isInside = row.quoted[0] <= row.total[1] && row.total[1] <= row.quoted[2];
    const x = 66 + ((width - 72) * (place + 0.5)) / rows.length;
    drawing.append(s("circle", { cx: x.toFixed(1), cy: y(row.total[1] / row.quoted[1]).toFixed(1), r: 2.5, class: isInside ? "in" : "out" }));
  });
  return drawing;
}

const TERMS = [
  ["requests_active_j", "requests: computing"],
  ["requests_idle_j", "requests: idle draw"],
  ["requests_standing_j", "requests: waiting"],
  ["standing_j", "waiting, not charged yet"],
  ["other_processes_j", "other processes"],
  ["unattributed_j", "nothing explains"],
];

/** The devices, how each is read, and their books. */
export function devices(now, findings) {
  const found = now?.devices ?? [];
  if (now?.running === false) return [h("p", { class: "quiet" }, "Nothing is measured yet, or any more: a tracker starts with its first request, and ends with its program.")];
  if (!found.length) {
    return [h("p", { class: "quiet" }, "No device has been read: joules are unknown. The command that says why: inferprint doctor"), ...absent(findings)];
  }
  const closure = now.closure_error;
  return [
    h("ul", { class: "devices" }, found.map((device) => deviceItem(device, findings))),
    table("What each device used, and what it was for", [
      ["device", "used", ...TERMS.map(([, name]) => name)],
      ...found.map((device) => [device.id, joules(device, "measured_j"), ...TERMS.map(([term]) => joules(device, term))]),
    ]),
    h("p", { class: "quiet" }, `The six terms add up to what was used, to within ${closure < 1e-9 ? "a billionth" : percent(closure)} of it.`),
    ...absent(findings),
  ];
}

/** A term that is rounding noise of the sum is 0. */
function joules(device, term) {
  const value = device[term];
  return inWh(Math.abs(value) <= 1e-9 * device.measured_j ? 0 : value);
}

function deviceItem(device, findings) {
  const why = findings.find((one) => one.device === device.id)?.why;
  const isSilent = device.silent_s > DEVICE_SILENT_S;
  return h("li", {},
    h("strong", {}, device.name || device.id), " ",
    h("span", { class: `chip is-${device.provenance}` }, device.provenance),
    h("p", {}, isSilent
      ? `No new reading for ${figure(device.silent_s, "s")}: what it draws now is unknown`
      : `${figure(device.power_w, "W")} now, ${figure(device.idle_w, "W")} when idle`),
    why ? h("p", { class: "quiet" }, why) : null,
  );
}

function absent(findings) {
  return findings.filter((one) => one.status === "unreadable").map((one) =>
    h("p", { class: "quiet" }, `Not read: ${one.name || one.component}. ${one.why} ${one.mend}`));
}

/** What the words of the page mean, once. */
export function words(hello) {
  const said = (pairs) => h("dl", { class: "words" }, pairs.flatMap(([name, meaning]) => [h("dt", {}, name), h("dd", {}, meaning)]));
  const provenances = Object.entries(PROVENANCE).map(([name, meaning]) => [h("span", { class: `chip is-${name}` }, name), meaning]);
  return [
    said([...PARTS.map(([part, name, meaning]) => [h("span", {}, h("i", { class: `swatch part-${part}` }), name), meaning]), ...provenances]),
    h("p", { class: "quiet" }, `Who pays for waiting here: ${hello?.idle_policy ?? UNKNOWN}. Unknown is never 0: a figure that is not known is left out of a sum, and the sum says of how many. inferprint ${hello?.version ?? ""}`),
  ];
}
