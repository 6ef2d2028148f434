// Says how long Chromium takes until it shows something of a report: for a person to look at, since it depends on the machine.
//
//   node paint.mjs CHROMIUM PAGE.html…
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [executablePath, ...paths] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
for (const path of paths) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  await page.goto(pathToFileURL(path).href);
  const [first, loaded] = await page.evaluate(() => [performance.getEntriesByName("first-contentful-paint")[0].startTime,
                                                     performance.getEntriesByType("navigation")[0].loadEventEnd]);
  console.log(`${path}: first contentful paint after ${first.toFixed(0)} ms, loaded after ${loaded.toFixed(0)} ms`);
  await page.close();
}
await browser.close();
