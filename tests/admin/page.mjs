// Reads Viaduct's status page in a headless Chromium as an operator does, drains a backend there, and takes a picture.
//
//   node page.mjs http://ADDRESS:PORT TOKEN BACKEND PICTURE.png
//
// Two instances of the page look at the same Viaduct: one in light with the token, one in dark without.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const { chromium } = createRequire(new URL('../peers/webrtc/package.json', import.meta.url))('playwright-core');

const [url, token, backend, picture] = process.argv.slice(2);
const LIMIT_MS = 15_000;
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-sync'],
});
try {
  const complaints = [];
  const stranger = await open('dark', complaints);
  await until(stranger, `${backend} stands there`, (name) => document.querySelector(`[data-key="${name}"] .standing`)?.textContent === 'up');
  assert.equal(await visible(stranger, 'Drain'), 0, 'buttons without a token');

  const operator = await open('light', complaints);
  await operator.fill('#token', 'a token that is another');
  await operator.click('#unlock button');
  await operator.getByRole('button', { name: `Drain ${backend}`, exact: true }).click();
  await until(operator, 'a wrong token is told', () => document.querySelector('#said').textContent.includes('another'));
  await operator.fill('#token', token);
  await operator.press('#token', 'Enter');
  const drain = operator.getByRole('button', { name: `Drain ${backend}`, exact: true });
  await drain.click();
  await until(operator, `${backend} drains`, (name) => document.querySelector(`[data-key="${name}"] .standing`).textContent === 'draining');
  await until(operator, 'it gets no share', (name) => document.querySelector(`[data-key="${name}"] .share span`).textContent === '0.0 %');
  await until(stranger, 'the other page sees it too', (name) => document.querySelector(`[data-key="${name}"]`).className === 'draining');
  assert.equal(await operator.evaluate(() => localStorage.length + document.cookie.length), 0, 'the token is kept');

  await operator.fill('#filter', 'draining');
  assert.equal(await operator.locator('#backends tbody tr').count(), 1, 'the filter');
  await operator.fill('#filter', '');
  await until(operator, 'messages come in', () => document.querySelector('#rates dd').textContent.match(/^[1-9]/) !== null);
  // The lines of the last minute have some seconds to show.
  await operator.waitForTimeout(15_000);
  const { backends } = await operator.evaluate(() => fetch('/api/pool').then((answer) => answer.json()));
  const rates = backends.map(({ requests_per_s }) => requests_per_s);
  assert(rates.some((rate) => rate > 10) && rates.every((rate) => rate < 1_000), `rates of ${rates}`);
  await operator.evaluate(() => document.activeElement.blur());
  await operator.mouse.move(0, 0);
  await operator.screenshot({ path: picture, fullPage: true });
  await operator.getByRole('button', { name: `Undrain ${backend}`, exact: true }).click();
  await until(operator, `${backend} is up again`, (name) => document.querySelector(`[data-key="${name}"] .standing`).textContent === 'up');
  await operator.click('#lock');
  assert.equal(await visible(operator, 'Drain'), 0, 'buttons without a token');
  assert.deepEqual(complaints.filter((complaint) => !complaint.includes('401')), [], 'the browser complains');
} finally {
  await browser.close();
}

async function open(colorScheme, complaints) {
  const context = await browser.newContext({ colorScheme, viewport: { width: 1360, height: 420 } });
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT_MS);
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) complaints.push(message.text()); });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(url);
  return page;
}

function visible(page, word) {
  return page.locator('#backends button:visible', { hasText: new RegExp(`^${word}$`) }).count();
}

async function until(page, what, holds) {
  await page.waitForFunction(holds, backend, { timeout: LIMIT_MS }).catch(async () => {
    assert.fail(`in vain: ${what}, where the page says: ${await page.locator('body').innerText()}`);
  });
}
