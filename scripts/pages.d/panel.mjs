// The integrator's panel, on a lane inside hwsim: what a hand does with it.
import { axe, context, fits, holds, open, same, serve, test, until } from './kit.mjs';

export default async function () {
  const site = 'http://localhost:9880', lane = site + '/api/lanes/X1';
  await serve(/^panel: /, 'bin/hwsim', 'panel', '--quick', '--direction', 'entry', '--listen', '127.0.0.1:9880');
  const look = async () => (await fetch(lane)).json(), say = words => fetch(lane + '/do', { method: 'POST', body: JSON.stringify({ words }) });
  await say('await screen S1');
  const page = await open(await context(1280, 900), site + '/');
  const shows = (id, text) => page.waitForFunction(([id, text]) => document.getElementById(id).textContent.includes(text), [id, text], { timeout: 30000 });
  const last = () => page.evaluate(() => document.querySelector('#ended li')?.textContent ?? '');

  await test('panel: a person of the catalogue is sent in by keyboard, and crosses', async () => {
    await page.waitForSelector('#persona option', { state: 'attached' });
    await page.selectOption('#persona', 'P01');
    await page.focus('#send');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#body-traveller');
    await until('the entry open on the plan', () => page.evaluate(() => document.querySelector('#entry').classList.contains('open')), 20000);
    await until('the crossing', async () => (await last()).includes('released'), 40000);
    holds((await last()).includes('as in the catalogue'), await last());
    holds(await page.evaluate(() => [...document.querySelectorAll('#lines li.gate')].some(l => l.textContent.includes('OPEN_ENTRY(1'))), 'no OPEN_ENTRY on the wires');
    holds(await page.evaluate(() => [...document.querySelectorAll('#lines li.chip')].some(l => l.textContent.includes('[SM] READ BINARY EF.DG'))), 'no READ BINARY on the wires');
  });
  await test('panel: a changed person is another one: a copied chip is refused', async () => {
    await say('await screen S1');
    await page.click('#change summary');
    await page.selectOption('[data-key="chip."]', 'clone');
    same(await page.textContent('#changes'), '1 changed', 'badge');
    await page.click('#send');
    await until('the refusal', async () => (await last()).includes('CHIP_AUTH'), 40000);
    await page.selectOption('[data-key="chip."]', '');
    await page.click('#change summary');
  });
  await test('panel: a person is led by mouse and by arrow keys; what was done is a scenario that passes', async () => {
    await say('await screen S1');
    await page.click('#record');
    await shows('record', 'Stop recording');
    await page.click('#lay');
    await shows('screen-id', 'S3');
    await page.click('[data-do=take]');
    await until('the entry open', async () => (await look()).entry.open > 80, 15000);
    const at = await page.locator('#body-traveller .head').boundingBox(), marks = await page.locator('.feet').boundingBox();
    await page.mouse.move(at.x + at.width / 2, at.y + at.height / 2);
    await page.mouse.down();
    await page.mouse.move(marks.x, marks.y, { steps: 4 });
    await page.mouse.move(marks.x + 8, marks.y + 4);
    await page.mouse.up();
    await until('the person on the marks', async () => Math.abs(((await look()).bodies.find(b => b.id === 'traveller')?.x ?? 0) - .8) < .25, 30000);
    await until('the exit open', async () => (await look()).exit.open > 80, 30000);
    await page.focus('#body-traveller');
    await page.keyboard.press('End');
    await until('the crossing', async () => (await look()).ended[0]?.outcome === 'released', 20000);
    await say('await screen S1');
    await page.click('#record');
    await until('the text', async () => (await page.inputValue('#text')).includes('outcome released'));
    await page.click('#play');
    await until('it passed', async () => (await page.textContent('#progress')).startsWith('As awaited'), 60000);
  });
  await test('panel: a click breaks the gate, the plan and the badge show it, another click mends it', async () => {
    await page.click('[data-fault=fire]');
    await shows('gate', 'EVACUATE');
    same(await page.getAttribute('[data-fault=fire]', 'aria-pressed'), 'true', 'pressed');
    await shows('on', '1 on');
    await page.click('#mend');
    await shows('gate', 'READY');
  });
  await test('panel: a scenario that goes otherwise says its line', async () => {
    await page.fill('#text', 'send P01\nawait 1s outcome diverted_out\n');
    await page.click('#play');
    await until('the failure', async () => (await page.textContent('#progress')).startsWith('Line 2'), 40000);
    await page.fill('#text', 'dance');
    await page.click('#play');
    await shows('progress', 'line 1');
    await say('gone');
  });
  await test('panel: three sizes, light and dark: nothing is cut off, axe finds nothing', async () => {
    await say('await 60s screen S1');
    await say('lay P01');
    await shows('present', 'led by you');
    for (const [w, h] of [[390, 844], [820, 1180], [1280, 900], [1680, 1050]]) {
      await page.setViewportSize({ width: w, height: h });
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme });
        await fits(page, `${w} ${colorScheme}`);
        if (w !== 1680) await axe(page, `${w} ${colorScheme}`);
      }
    }
  });
  await page.context().close();
}
