// Opens reports in headless Chromium as a person would, and prints what it saw, as JSON; tests/test_report.py says what must be.
//
//   node browser.mjs CHROMIUM MODEL PAGE.html
//
// MODEL is switched off and on.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [executablePath, model, page_path] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf-8");
const url = pathToFileURL(page_path).href;
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const seen = { errors: [], requests: [] };

// A page of its own, on which every error, and every request but the one for the page itself, is noted.
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.on("console", (message) => { if (message.type() === "error" || message.type() === "warning") seen.errors.push(message.text()); });
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("request", (request) => { if (request.url() !== url) seen.requests.push(request.url()); });
  await page.goto(url);
  return page;
}

// Faults that axe-core calls serious or critical, as `rule: where`.
async function faults(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations.filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.slice(0, 5).map((node) => `${id}: ${node.html.slice(0, 200)} ${node.failureSummary}`));
}

// How much of the model is to be seen, and how many rows.
const counted = (page) => page.evaluate((name) => {
  const shown = (element) => element.getClientRects().length > 0;
  const all = (selector) => [...document.querySelectorAll(selector)].filter(shown).length;
  return { drawn: all(`svg[role=img] .m-${name}`), rows: all(`tr.m-${name}`), others: all("svg[role=img] [class^=m-]"),
           plots: all("figure"), every: all("tbody tr"), won: all(`.cell.w-${name}`), map: all(".cell") };
}, model);

const column = (page, title) => page.evaluate((wanted) => {
  const table = [...document.querySelectorAll("table")].at(-1);
  const header = [...table.tHead.rows[0].cells].find((cell) => cell.textContent === wanted);
  return { sort: header.getAttribute("aria-sort"), values: [...table.tBodies[0].rows].map((row) => row.cells[header.cellIndex].textContent) };
}, title);

const background = (page) => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);

async function with_script() {
  const page = await open({ colorScheme: "light" });
  // What is out of sight is not laid out, and so not counted.
  await page.addStyleTag({ content: "figure, .scroll { content-visibility: visible !important; }" });
  seen.at_first = await counted(page);
  await page.uncheck(`#on-${model}`);
  seen.switched_off = await counted(page);
  await page.check(`#on-${model}`);
  seen.switched_on = await counted(page);

  await page.fill("#words", model);
  seen.filtered = { ...(await counted(page)), said: await page.textContent("#shown") };
  await page.fill("#words", "");
  const streams = await page.locator("#stream option").allTextContents();
  await page.selectOption("#stream", streams.at(-1));
  seen.of_stream = { ...(await counted(page)), said: await page.textContent("#shown"), stream: streams.at(-1) };
  await page.selectOption("#stream", "");
  seen.unfiltered = await counted(page);

  const button = page.locator("table").last().getByRole("button", { name: "events/s" });
  await button.focus();
  await page.keyboard.press("Enter");
  seen.ascending = await column(page, "events/s");
  await page.keyboard.press("Enter");
  seen.descending = await column(page, "events/s");
  seen.focus = await button.evaluate((element) => getComputedStyle(element).outlineStyle);

  await page.locator("table").last().getByRole("button", { name: "how" }).first().press("Enter");
  seen.how = await page.locator("[popover]:popover-open").innerText();
  await page.keyboard.press("Escape");
  seen.how_closed = await page.locator("[popover]:popover-open").count();

  seen.backgrounds = { system: await background(page) };
  for (const theme of ["dark", "light"]) {
    await page.check(`#theme-${theme}`);
    seen.backgrounds[theme] = await background(page);
  }
  seen.headings = await page.evaluate(() => [...document.querySelectorAll("h1, h2, h3, h4, h5")].map((heading) => Number(heading.localName[1])));
}

async function without_script() {
  const page = await open({ javaScriptEnabled: false, colorScheme: "light" });
  const visible = async (selector) => (await page.locator(selector).first().isVisible());
  seen.without_script = {
    rows: await visible("tbody tr"), plots: await visible("svg[role=img]"), filter: await visible("#words"), buttons: await page.locator("th button").count() };
  await page.locator("button[popovertarget]").first().click();
  seen.without_script.how = await page.locator("[popover] samp").first().isVisible();
  await page.keyboard.press("Escape");
  const drawn = page.locator(`svg[role=img] .m-${model}`).first();
  seen.without_script.drawn = await drawn.isVisible();
  await page.uncheck(`#on-${model}`);
  seen.without_script.switched_off = !(await drawn.isVisible());
  seen.without_script.light = await background(page);
  await page.check("#theme-dark");
  seen.without_script.dark = await background(page);
}

async function accessible() {
  seen.faults = {};
  for (const [name, width] of [["wide", 1280], ["narrow", 390]]) {
    for (const colorScheme of ["light", "dark"]) {
      const page = await open({ colorScheme, viewport: { width, height: 844 } });
      await page.locator("button[popovertarget]").first().click();
      seen.faults[`${name}, ${colorScheme}`] = await faults(page);
      seen[`overflow_${name}`] = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      await page.context().close();
    }
  }
}

try {
  await with_script();
  await without_script();
  await accessible();
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}
