// Elements made without markup: every text becomes a text node.

/** An element. `properties`: class, aria-*, and so on as attributes; on* as listeners. */
export function h(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

/** An element of a drawing. */
export function s(name, properties = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(properties)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export const $ = (id) => document.getElementById(id);

/** Sets a text where it differs: an unchanged node costs no layout, and is not read out again. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A table of [header, ...rows]; the first cell of a row names it, the others are figures. */
export function table(caption, [header, ...rows]) {
  const cells = (row) => row.map((cell, place) => h(place ? "td" : "th", place ? {} : { scope: "row" }, cell));
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, header.map((cell) => h("th", { scope: "col" }, cell)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, cells(row)))),
    ),
  );
}
