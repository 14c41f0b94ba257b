// What the page calls things, and how a figure is written in the unit that was chosen.

import { CARBON, UNKNOWN, figure, inWh } from "./badge.js";

/** The parts of energy, in the order in which they are stacked. */
export const PARTS = [
  ["active", "computing", "what the work took above idle"],
  ["idle", "idle draw", "its share of what the hardware draws anyway, while it ran"],
  ["standing", "waiting", "its share of the energy while no request ran"],
  ["overhead", "overhead", "cooling and power supply of the site, beside what the devices' meters count"],
];

export const MODES = {
  energy: { name: "Energy", lacks: "Energy is unknown: no device could be read. See inferprint doctor." },
  carbon: {
    name: "Carbon",
    lacks: "Carbon is unknown until the server is told where it is, such as INFERPRINT_LOCATION=FRA.",
  },
  cost: {
    name: "Cost",
    lacks: "Cost is unknown until the server has a price, such as INFERPRINT_ELECTRICITY_PRICE=0.25 INFERPRINT_CURRENCY=EUR.",
  },
};

/** A row's figure in the chosen unit, with its interval or without. */
export function cost(row, mode, interval = false) {
  if (mode === "carbon") return figure(row.carbon, CARBON, interval);
  if (mode === "cost") return figure(row.cost, row.currency, interval);
  return inWh(row.total, interval);
}

/** The sums of many rows in the chosen unit: several currencies stay apart. */
export function costOfAll({ sums, known, requests }, mode, interval = false) {
  if (mode === "cost") {
    const money = Object.entries(sums).filter(([name]) => name.startsWith("cost "));
    const texts = money.map(([name, sum]) => figure(sum, name.slice(5), interval));
    return texts.join(" + ") || UNKNOWN;
  }
  const name = mode === "carbon" ? "carbon" : "total";
  const sum = sums[name] ?? null;
  const text = mode === "carbon" ? figure(sum, CARBON, interval) : inWh(sum, interval);
  const left = requests - (known[name] ?? 0);
  return sum !== null && left ? `${text}, and ${left} unknown` : text;
}

/** The part of a row's or a sum's energy that was waiting, or another part; null: not known. */
export function waiting(parts, part = "standing") {
  const total = parts.total?.[1] ?? 0;
  return total > 0 && parts[part] ? parts[part][1] / total : null;
}

/** How much was not computing, in a sentence. */
export function notComputing(parts) {
  const [waited, idle] = [waiting(parts), waiting(parts, "idle")];
  if (waited === null) return "How much of it was waiting is unknown.";
  const rest = idle === null ? "" : `, ${percent(idle)} idle draw while it ran`;
  const words = `${percent(waited)} of it was waiting for requests${rest}.`;
  return words[0].toUpperCase() + words.slice(1);
}

export function percent(share) {
  if (share === null) return UNKNOWN;
  if (share > 0 && share < 0.005) return "under 1 %";
  return `${Math.round(share * 100)} %`;
}

export const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

/** The time of day of the server's clock, in the zone of this browser. */
export const clock = (unix) => CLOCK.format(unix * 1000);
