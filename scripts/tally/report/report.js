// What the page does beyond showing: sorts and filters, and asks the map who is first of the models that are switched on.
// Models and colours are switched by the style alone.
"use strict";

// ---- sorting ----

// What a cell is sorted by: the number that it stands for, the one that it begins with, or else its text.
function keyOf(cell) {
  const text = cell.textContent.trim();
  const number = Number.parseFloat(cell.dataset.v ?? text.replace(/^±|,/g, ""));
  return Number.isNaN(number) ? text : number;
}

function compare(a, b, down) {
  const empty = (key) => key === "";
  if (empty(a) || empty(b)) return empty(a) - empty(b); // last, either way
  const numbers = (typeof b === "number") - (typeof a === "number"); // before what is none, such as n=3
  if (numbers !== 0) return numbers;
  const order = typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
  return down ? -order : order;
}

function sort(table, header) {
  const down = header.getAttribute("aria-sort") === "ascending";
  const column = header.cellIndex;
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [keyOf(row.cells[column]), row]);
  rows.sort(([a], [b]) => compare(a, b, down));
  body.remove(); // else the style is asked anew for every row that moves
  body.append(...rows.map(([, row]) => row));
  table.append(body);
  for (const other of header.parentElement.cells) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const header of [...table.tHead.rows[0].cells].slice(0, -1)) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sort(table, header));
    header.append(button);
    header.setAttribute("aria-sort", "none");
  }
}

// ---- filtering ----

const stream = document.getElementById("stream");
const words = document.getElementById("words");
let filtered = null; // [element, its stream, what it says], made when first asked for

// A row says `workers 2 · grain 0 · …`, as the title of a plot does; what all plots under a heading share is there.
function said(element) {
  if (element.localName === "figure") {
    const parts = [element.parentElement.dataset.same, ...["figcaption", "desc"].map((name) => element.querySelector(name).textContent)];
    return [element, element.dataset.stream, parts.join(" · ").toLowerCase()];
  }
  const titles = element.closest("table").tHead.rows[0].cells;
  const parts = [...element.cells].slice(0, -1).map((cell, i) => `${titles[i].textContent} ${cell.textContent}`);
  const names = [...element.querySelectorAll("samp")].map((name) => name.textContent);
  const own = element.closest("table").dataset.stream ?? element.cells[0].textContent;
  return [element, own, [...parts, ...names].join(" · ").toLowerCase()];
}

// What a row must say: from the beginning of a word on, and a number to its end, so that 100 is not 1,000.
function asked() {
  const phrases = words.value.toLowerCase().split(",").map((phrase) => phrase.trim()).filter((phrase) => phrase);
  return phrases.map((phrase) => {
    const text = phrase.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/\s+/g, "\\s+");
    return new RegExp(`(?<![\\p{L}\\d_])${text}${/\d$/.test(phrase) ? "(?![\\d.,])" : ""}`, "u");
  });
}

function filter() {
  filtered ??= [...document.querySelectorAll("tbody tr, figure")].map(said);
  const wanted = asked();
  let rows = 0, all = 0;
  for (const [element, of, says] of filtered) {
    const fits = (!stream.value || of === stream.value) && wanted.every((phrase) => phrase.test(says));
    element.hidden = !fits;
    if (element.localName === "tr") { all += 1; rows += fits; }
  }
  document.getElementById("shown").textContent = wanted.length || stream.value ? `${rows} of ${all} rows` : "";
}

stream.addEventListener("change", filter);
words.addEventListener("input", filter);
for (const part of document.querySelectorAll(".script")) part.hidden = false;

// ---- the map ----

const slug = (model) => model.toLowerCase().replace(/[^a-z0-9_-]/g, "-");
const isOn = (model) => document.getElementById(`on-${slug(model)}`)?.checked ?? true;

// Leads are [i, j, text, whether separated], of the i-th model over the j-th, best first.
function redraw(figure) {
  const cells = figure.querySelectorAll(".cell");
  const told = JSON.parse(figure.dataset.map).map(([where, order, leads], at) => {
    const on = order.map((_, i) => i).filter((i) => isOn(order[i]));
    const who = order[on[0]] ?? "";
    const others = leads.filter(([i, j]) => i === on[0] && on.includes(j));
    const lead = others.find(([, j]) => j === on[1])?.[2] ?? "";
    const separated = others.every(([, , , apart]) => apart);
    cells[at].setAttribute("class", who ? `cell w-${slug(who)}${separated ? "" : " tie"}` : "cell none");
    cells[at].querySelector(".who").textContent = who;
    cells[at].querySelector(".lead").textContent = lead;
    return `${where}: ${who || "no model is switched on"} ${lead}${separated ? "" : ", not separated from all others"}`;
  });
  figure.querySelector("desc").textContent = `The model with the greatest throughput of those switched on. ${told.join("; ")}.`;
}

for (const box of document.querySelectorAll(".controls [type=checkbox]")) {
  box.addEventListener("change", () => document.querySelectorAll("figure[data-map]").forEach(redraw));
}
