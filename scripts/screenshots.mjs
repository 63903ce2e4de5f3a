// Takes the pictures of docs/ from a running demonstration:
//   node scripts/screenshots.mjs http://127.0.0.1:8180 docs/screenshots
// playwright-core drives Debian's Chromium.
import { chromium } from 'playwright-core';
const [base, out] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });
const shot = async (name, page) => { await page.screenshot({ path: `${out}/${name}.png` }); console.log(name); };
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
