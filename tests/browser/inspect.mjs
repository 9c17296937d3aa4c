// Opens local pages in Chromium and reports, as JSON on stdout, what a person or an attacker
// would meet: accessibility violations, policy violations, requests, dialogs, overflow, focus.
//
// Usage: node inspect.mjs MODULES CHROMIUM PAGE...   (MODULES holds axe-core and playwright-core)
// It judges nothing; tests/apps/report/test_browser.py does.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [modules, chromiumPath, ...pages] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${modules}/`));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const LOOKS = [
  { look: "light", width: 1200, height: 800, colorScheme: "light" },
  { look: "dark", width: 1200, height: 800, colorScheme: "dark" },
  { look: "narrow", width: 390, height: 844, colorScheme: "light" },
  { look: "narrow-dark", width: 390, height: 844, colorScheme: "dark" },
  { look: "print", width: 680, height: 960, colorScheme: "light", media: "print" },
];

async function inspect(browser, path, { look, width, height, colorScheme, media }) {
  const context = await browser.newContext({
    viewport: { width, height }, colorScheme, reducedMotion: "reduce",
  });
  const page = await context.newPage();
  const requests = [];
  const consoleErrors = [];
  let dialogs = 0;
  const own = pathToFileURL(path).href;
  page.on("request", (request) => request.url() !== own && requests.push(request.url()));
  page.on("console", (message) => message.type() === "error" && consoleErrors.push(message.text()));
  page.on("dialog", async (dialog) => { dialogs += 1; await dialog.dismiss(); });
  if (media) await page.emulateMedia({ media, colorScheme });
  await page.goto(own, { waitUntil: "load" });
  const found = await page.evaluate(() => ({
    hit: window.hit === 1,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    background: getComputedStyle(document.body).backgroundColor,
    hiddenPictures: [...document.querySelectorAll("svg")].map((s) => getComputedStyle(s).display),
    foldedButShown: [...document.querySelectorAll("details:not([open]) > :not(summary)")]
      .filter((e) => e.checkVisibility({ contentVisibilityAuto: true })).length,
    folded: document.querySelectorAll("details:not([open])").length,
    focusable: [...document.querySelectorAll("a[href], summary, [tabindex='0']")]
      .filter((e) => e.checkVisibility()).length,
  }));
  const focused = new Set();
  if (look === "light") {
    for (let i = 0; i < Math.min(found.focusable + 5, 60); i += 1) {
      await page.keyboard.press("Tab");
      const what = await page.evaluate(() => {
        const e = document.activeElement;
        return e === document.body ? null : `${e.tagName} ${e.getAttribute("href") ?? ""}`;
      });
      if (what) focused.add(what);
    }
  }
  await page.evaluate(axe);
  const { violations, passes } = await page.evaluate(() => window.axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  }));
  await context.close();
  return {
    page: path,
    look,
    requests,
    consoleErrors,
    dialogs,
    ...found,
    focused: [...focused],
    passed: passes.length,
    violations: violations.map(({ id, impact, help, nodes }) => ({
      id, impact, help, nodes: nodes.slice(0, 5).map((n) => n.html.slice(0, 300)),
    })),
  };
}

// As root Chromium has no sandbox of its own; the pages are local and run no script.
const args = process.getuid() === 0 ? ["--no-sandbox"] : [];
const browser = await chromium.launch({ executablePath: chromiumPath, args });
try {
  const results = [];
  for (const path of pages) for (const look of LOOKS) results.push(await inspect(browser, path, look));
  process.stdout.write(JSON.stringify(results));
} finally {
  await browser.close();
}
