// Shows that the traveller's screen has a live picture and that its advice
// follows the face, in Debian's Chromium, from a running demonstration:
//   node scripts/preview.mjs http://127.0.0.1:8180 http://127.0.0.1:8190 FOLDER
// scripts/preview runs both.
// The folder gets pictures with faces: they are to be looked at, not committed.
import { chromium } from 'playwright-core';
const [base, camera, out] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });
const page = await (await browser.newContext({ viewport: { width: 540, height: 960 } })).newPage();
await page.goto(base + '/traveller', { waitUntil: 'domcontentloaded' });
const place = (away, aside = 0, tilt = 0) => fetch(`${camera}/place?away=${away}&aside=${aside}&tilt=${tilt}`, { method: 'POST' });
const until = (what, test, limit = 20000) => page.waitForFunction(test, null, { timeout: limit }).catch(() => { throw new Error(`not seen: ${what}`); });

await page.waitForSelector('body[data-screen=S3]', { timeout: 90000 });
if ((await fetch(base + '/traveller/preview')).status !== 404) throw new Error('a picture before anybody is inside');
await until('the live picture', () => document.body.dataset.preview !== undefined, 60000);
// How many pictures a second arrive, at a second reader.
const arriving = () => page.evaluate(async () => {
  const answer = await fetch('/traveller/preview');
  if (!answer.ok) throw new Error(`the picture: ${answer.status} ${await answer.text()}`);
  const reader = answer.body.getReader();
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
// Each advice comes when the face moves to where it is due, in the place of the
// one before. The traveller has some 25 s for all of it.
const texts = await page.evaluate(async () => (await (await fetch('/traveller/texts')).json())[document.documentElement.lang]);
const advice = {};
let rate = 0;
for (const [name, text, away, aside, tilt] of [['closer', texts.S6a, 3.8, 0, 0], ['back', texts.S6b, -0.65, 0, 0], ['level', texts.level, 0.3, 0, 42]]) {
  const began = Date.now();
  const again = setInterval(() => place(away, aside, tilt), 40); // the simulator places each new traveller itself
  await page.waitForFunction(want => ['#hint', '#text'].some(id => document.querySelector(id).textContent === want), text, { timeout: name === 'closer' ? 40000 : 10000 }) // first they walk in
    .catch(async () => { throw new Error(`not seen: ${text}; screen ${await page.getAttribute('body', 'data-screen')} says "${await page.textContent('#text')}" and "${await page.textContent('#hint')}"`); });
  clearInterval(again);
  advice[name] = `${text} (${Date.now() - began} ms)`;
  await page.screenshot({ path: `${out}/preview-${name}.png` });
  if (name === 'closer') rate = await arriving();
}
if (rate < 5) throw new Error(`${rate} pictures a second`);
await place(0);
await until('the end of all advice', () => document.querySelector('#hint').textContent === '' || !['S5', 'S6'].includes(document.body.dataset.screen));
await page.screenshot({ path: `${out}/preview-good.png` });
await page.waitForFunction(() => ['S9', 'S10', 'S11'].includes(document.body.dataset.screen), null, { timeout: 30000 });
await until('the picture’s end', () => document.body.dataset.preview === undefined || document.body.dataset.screen === 'S9');
console.log(JSON.stringify({ advice, pictures_per_second: Math.round(rate * 10) / 10, then: await page.getAttribute('body', 'data-screen') }));
await browser.close();
