// A Chromium that a test drives: what `tests/e2e/support/browser.rs` asks for, done by playwright-core.
// Every wait is for a condition and ends with `patience`.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';
import { options, serve, tell } from './lines.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core'), 'utf8');
const patience = options.patience;

const browser = await chromium.launch({
  executablePath: options.chromium,
  // A container has no namespaces to make a sandbox of.
  chromiumSandbox: false,
  args: ['--disable-gpu', '--disable-quic', ...options.flags],
});

const pages = new Map();

// Remembers a page and all that it complains of from now on.
function keep(page) {
  const number = pages.size + 1;
  const kept = { number, page, complaints: [], tabs: [], awaited: [] };
  pages.set(number, kept);
  page.setDefaultTimeout(patience);
  page.on('console', (message) => {
    if (message.type() === 'error') kept.complaints.push(`console: ${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => kept.complaints.push(`error: ${error.message}`));
  page.on('popup', (tab) => {
    const opened = keep(tab);
    const awaited = kept.awaited.shift();
    if (awaited) awaited(opened);
    else kept.tabs.push(opened);
  });
  return kept;
}

async function open({ dark, width, height, scripts, permissions }) {
  const context = await browser.newContext({
    colorScheme: dark ? 'dark' : 'light',
    viewport: { width, height },
    javaScriptEnabled: scripts,
    permissions,
    reducedMotion: 'reduce',
    locale: 'en-GB',
    timezoneId: 'UTC',
  });
  await context.exposeBinding('__violated', ({ page }, violation) => {
    for (const kept of pages.values()) if (kept.page === page) kept.complaints.push(`csp: ${violation}`);
  });
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      globalThis.__violated(`${event.effectiveDirective} forbids ${event.blockedURI}`);
    });
  });
  return keep(await context.newPage()).number;
}

// A promise's end, or `patience`'s.
function bounded(promise, what) {
  let timer;
  const late = new Promise((_, refuse) => {
    timer = setTimeout(() => refuse(new Error(`it never came to this: ${what}`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// What an expression is in a page, whatever the page's policy says of evaluating: the debugger is not bound by it.
async function evaluate(kept, expression) {
  kept.debugger ??= kept.page.context().newCDPSession(kept.page);
  const asked = { expression, awaitPromise: true, returnByValue: true };
  const { result, exceptionDetails } = await (await kept.debugger).send('Runtime.evaluate', asked);
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  return result.value;
}

async function until(kept, expression) {
  const end = Date.now() + patience;
  for (;;) {
    // A page that is just leaving can say nothing, and the next one is asked.
    const last = await bounded(evaluate(kept, expression), expression).catch((error) => error);
    if (last && !(last instanceof Error)) return;
    if (Date.now() > end) {
      const text = await kept.page.locator('body').innerText({ timeout: 1000 }).catch(() => '(no body)');
      throw new Error(`it never came to this: ${expression} (${last}); the page says:\n${text}`);
    }
    await new Promise((wait) => setTimeout(wait, 20));
  }
}

// Where an action happens: by role and accessible name, by label, or by selector.
function place(page, { role, name, label, selector }) {
  if (role) return page.getByRole(role, { name, exact: true });
  if (label) return page.getByLabel(label, { exact: true });
  return page.locator(selector);
}

const of = (given) => pages.get(given.page);

serve(
  {
    open,
    goto: async (given) => {
      try {
        return (await of(given).page.goto(given.url, { waitUntil: 'load' }))?.status();
      } catch (error) {
        // A page that was not taken up is an answer too: the first line says why.
        throw new Error(error.message.split('\n')[0]);
      }
    },
    click: (given) => place(of(given).page, given.place).click(),
    fill: (given) => place(of(given).page, given.place).fill(given.value),
    press: (given) => of(given).page.keyboard.press(given.keys),
    text: (given) => place(of(given).page, given.place).innerText(),
    attribute: (given) => place(of(given).page, given.place).getAttribute(given.name),
    count: (given) => place(of(given).page, given.place).count(),
    evaluate: (given) => bounded(evaluate(of(given), given.script), given.script),
    until: (given) => until(of(given), given.script),
    screenshot: async (given) => {
      await of(given).page.screenshot({ path: given.file, fullPage: given.whole, animations: 'disabled' });
    },
    axe: async (given) => {
      await evaluate(of(given), `${axe};0`);
      const { violations } = await evaluate(of(given), 'axe.run()');
      return violations.map(({ id, impact, help, nodes }) => ({
        id,
        impact,
        help,
        nodes: nodes.map((node) => `${node.html} ${node.failureSummary}`),
      }));
    },
    complaints: (given) => of(given).complaints,
    tab: async (given) => {
      const kept = of(given);
      const opened = kept.tabs.shift() ?? (await bounded(new Promise((take) => kept.awaited.push(take)), 'a new tab'));
      await opened.page.waitForLoadState();
      return opened.number;
    },
    address: (given) => of(given).page.url(),
    offline: (given) => of(given).page.context().setOffline(given.offline),
    reload: async (given) => (await of(given).page.reload({ waitUntil: 'load' }))?.status(),
    close: (given) => of(given).page.close(),
  },
  () => browser.close(),
);
tell({ version: browser.version() });
