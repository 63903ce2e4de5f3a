// Takes the pictures of docs/ from a running demonstration:
//   node scripts/screenshots.mjs http://127.0.0.1:8180 docs/screenshots
// playwright-core drives Debian's Chromium.
import { chromium } from 'playwright-core';
const [base, out] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });
// Faces are of real people and never in a picture that is committed.
const veil = page => page.evaluate(() => document.querySelectorAll('img').forEach(i => {
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 120" style="width:100%;background:#d5dde6;border-radius:6px;display:block"><circle cx="45" cy="46" r="22" fill="#8497ab"/><path d="M5 120c0-30 16-46 40-46s40 16 40 46z" fill="#8497ab"/></svg>';
  if (i.offsetParent) i.insertAdjacentHTML('afterend', svg); i.remove();
}));
const shot = async (name, page) => { await veil(page); await page.screenshot({ path: `${out}/${name}.png` }); console.log(name); };
const open = async (path, width, height) => { const page = await browser.newPage({ viewport: { width, height } }); await page.goto(base + path, { waitUntil: 'domcontentloaded' }); await page.waitForFunction(() => document.querySelector('#text,#state')?.textContent !== '…'); return page; };

const portrait = await open('/traveller', 540, 960), wide = await open('/traveller', 1280, 800);
const lane = await open('/lane', 1440, 1000);
await lane.fill('[name=officer]', 'anna'); await lane.fill('[name=pin]', '4711'); await lane.click('#signin button');
await lane.waitForFunction(() => !document.querySelector('#me').hidden);
const state = await lane.context().storageState();
for (const want of ['S1', 'S3', 'S5', 'S10']) {
  await portrait.waitForSelector(`body[data-screen=${want}]`, { timeout: 90000 });
  await shot(`traveller-${want}`, portrait);
  if (want === 'S3') await shot('traveller-wide', wide);
  if (want === 'S5') { await lane.waitForTimeout(400); await shot('lane-desk', lane); }
}
const context = await browser.newContext({ viewport: { width: 390, height: 844 }, storageState: state });
const phone = await context.newPage(); await phone.goto(base + '/lane', { waitUntil: 'domcontentloaded' }); await phone.waitForTimeout(1500);
await shot('lane-phone', phone);
await browser.close();
