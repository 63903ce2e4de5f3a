// Shows that the traveller's screen has a live picture and that its advice
// follows the face, in Debian's Chromium, from a running demonstration:
//   node scripts/preview.mjs http://127.0.0.1:8180 http://127.0.0.1:8190 FOLDER
// The folder gets pictures with faces: they are to be looked at, not committed.
import { chromium } from 'playwright-core';
const [base, camera, out] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });
const page = await (await browser.newContext({ viewport: { width: 540, height: 960 } })).newPage();
await page.goto(base + '/traveller', { waitUntil: 'domcontentloaded' });
const place = (away, aside) => fetch(`${camera}/place?away=${away}&aside=${aside}`, { method: 'POST' });
const hint = () => page.textContent('#hint');
const until = (what, test, limit = 20000) => page.waitForFunction(test, null, { timeout: limit }).catch(() => { throw new Error(`not seen: ${what}`); });

await page.waitForSelector('body[data-screen=S3]', { timeout: 90000 });
if ((await fetch(base + '/traveller/preview')).status !== 404) throw new Error('a picture before anybody is inside');
await place(3.2, 0);
await until('the live picture', () => document.body.dataset.preview !== undefined, 60000);
await until('advice to come closer', () => document.querySelector('#hint').textContent !== '');
const far = await hint();
await page.screenshot({ path: `${out}/preview-far.png` });
// How many pictures a second arrive, at a second reader.
const rate = await page.evaluate(async () => {
  const reader = (await fetch('/traveller/preview')).body.getReader();
  const began = performance.now();
  let n = 0, text = '';
  while (performance.now() - began < 2000) {
    const { done, value } = await reader.read();
    if (done) break;
    text = text.slice(-20) + new TextDecoder('latin1').decode(value);
    n += text.split('Content-Length:').length - 1;
    text = text.replaceAll('Content-Length:', '');
  }
  reader.cancel();
  return n / ((performance.now() - began) / 1000);
});
await place(0.2, 0.45);
await page.waitForTimeout(700);
const aside = await hint();
await page.screenshot({ path: `${out}/preview-aside.png` });
await place(0, 0);
await page.waitForTimeout(350);
await page.screenshot({ path: `${out}/preview-good.png` });
await page.waitForFunction(() => ['S9', 'S10', 'S11'].includes(document.body.dataset.screen), null, { timeout: 30000 });
await until('the picture’s end', () => document.body.dataset.preview === undefined || document.body.dataset.screen === 'S9');
console.log(JSON.stringify({ far, aside, pictures_per_second: Math.round(rate * 10) / 10, then: await page.getAttribute('body', 'data-screen') }));
await browser.close();
