// Takes the pictures of docs/ from a running demonstration:
//   node scripts/screenshots.mjs http://127.0.0.1:8180 docs/screenshots
// playwright-core drives Debian's Chromium.
import { chromium } from 'playwright-core';
const [base, out] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });

// Faces are of real people and never in a picture that is committed.
const veil = page => page.evaluate(() => document.querySelectorAll('img').forEach(i => {
  if (i.id === 'preview') { i.removeAttribute('src'); delete document.body.dataset.preview; return; }
  const shape = (tag, attributes, ...children) => { const e = document.createElementNS('http://www.w3.org/2000/svg', tag); for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v); e.append(...children); return e; };
  i.replaceWith(shape('svg', { viewBox: '0 0 90 120' }, shape('rect', { width: 90, height: 120, rx: 4, fill: '#d5dde6' }), shape('circle', { cx: 45, cy: 46, r: 22, fill: '#8497ab' }), shape('path', { d: 'M5 120c0-30 16-46 40-46s40 16 40 46z', fill: '#8497ab' })));
}));
const shot = async (name, page) => { await veil(page); await page.screenshot({ path: `${out}/${name}.png` }); console.log(name); };
const open = async (context, path) => { const page = await context.newPage(); await page.goto(base + path, { waitUntil: 'domcontentloaded' }); await page.waitForFunction(() => document.querySelector('#text,#state')?.textContent !== '…'); return page; };
const size = (width, height, extra) => browser.newContext({ viewport: { width, height }, ...extra });

const traveller = await open(await size(540, 960), '/traveller'), wide = await open(await size(1280, 800), '/traveller');
const desk = await open(await size(1440, 1000), '/lane');
await desk.fill('[name=officer]', 'anna'); await desk.fill('[name=pin]', '4711'); await desk.click('#signin button');
await desk.waitForFunction(() => !document.querySelector('#me').hidden);
const storageState = await desk.context().storageState();
const tablet = await open(await size(820, 1180, { storageState }), '/lane'), phone = await open(await size(390, 844, { storageState }), '/lane');

for (const want of ['S1', 'S3', 'S5', 'S10']) {
  // Taken again when the screen went on while it was taken.
  do {
    await traveller.waitForSelector(`body[data-screen=${want}]`, { timeout: 90000 });
    if (want === 'S10') await traveller.waitForTimeout(450); // the ground fades to green
    await shot(`traveller-${want}`, traveller);
  } while (await traveller.getAttribute('body', 'data-screen') !== want);
  if (want === 'S3') await shot('traveller-wide', wide);
}
// A case that waits for an officer, on all three sizes at once: the simulated
// officer decides after a second.
await desk.waitForFunction(() => document.querySelector('#state').textContent === 'REVIEW', null, { timeout: 120000 });
await Promise.all([shot('lane-desk', desk), shot('lane-tablet', tablet), shot('lane-phone', phone)]);
// From right to left.
await traveller.waitForSelector('body[data-screen=S3]', { timeout: 90000 });
await traveller.evaluate(() => fetch('/traveller/language', { method: 'POST', body: '{"lang":"ar"}' }));
await traveller.waitForSelector('html[dir=rtl]');
await shot('traveller-ar', traveller);
await browser.close();
