// The lane page.
import { axe, context, fits, holds, open, test, theStage } from './kit.mjs';

export default async function () {
  const { lane: lanePages, scene } = await theStage();
  await test('lane page: signed out and in, at three sizes, light and dark: axe finds nothing, nothing is cut off', async () => {
    await scene('E1', { phase: 'REVIEW', class: 'TCN_LISTED', reason: 'FACE', issuer: 'GBR', given: 'OLIVIA', surname: 'SAMPLE', shown: 48, days: 60, last_day: '2026-08-18', alerts: ['review'], cases: ['power_cut'] });
    const c = await context(1440, 1000), page = await open(c, lanePages + '/lane');
    await page.waitForFunction(() => document.getElementById('state').dataset.state === 'REVIEW');
    await axe(page, 'signed out');
    await page.fill('[name=officer]', 'anna'); await page.fill('[name=pin]', '4711'); await page.click('#signin button');
    await page.waitForSelector('.decide');
    await page.waitForSelector('#open form');
    for (const [w, h] of [[1440, 1000], [820, 1180], [390, 844]]) {
      await page.setViewportSize({ width: w, height: h });
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme });
        await fits(page, `${w} ${colorScheme}`);
        await axe(page, `${w} ${colorScheme}`);
      }
    }
    await c.close();
    await scene('E1');
  });
  await test('lane page: nobody at the keys: asked, then locked, and the lane’s lease ends', async () => {
    await scene('E1', { phase: 'REVIEW', class: 'TCN_LISTED', reason: 'FACE', issuer: 'GBR', given: 'OLIVIA', surname: 'SAMPLE' });
    const c = await context(820, 1180), page = await c.newPage();
    await page.clock.install();
    await page.goto(lanePages + '/lane');
    await page.fill('[name=officer]', 'anna'); await page.fill('[name=pin]', '4711'); await page.click('#signin button');
    await page.waitForSelector('.decide');
    await page.clock.fastForward(9.5 * 60e3);
    await page.waitForSelector('#still[open]');
    await axe(page, 'still there');
    await page.mouse.move(100, 100); await page.mouse.move(120, 120);
    await page.waitForFunction(() => !document.getElementById('still').open);
    await page.clock.fastForward(10.1 * 60e3);
    await page.waitForSelector('#signin:not([hidden])');
    holds(!(await page.textContent('body')).includes('OLIVIA'), 'the name is still on the page');
    await c.close();
    await scene('E1');
  });
  await test('lane page: a lane that does not answer is said to be so, and shown again when it does', async () => {
    await scene('E1', { phase: 'REVIEW', class: 'EU', reason: 'FACE', issuer: 'GRC', given: 'NIKOS', surname: 'DEIGMA' });
    const c = await context(820, 1180), page = await open(c, lanePages + '/lane');
    await page.fill('[name=officer]', 'anna'); await page.fill('[name=pin]', '4711'); await page.click('#signin button');
    await page.waitForSelector('.decide');
    await c.setOffline(true);
    await page.waitForSelector('#state >> text=no connection');
    holds((await page.textContent('#say')).includes('What you see is old'), await page.textContent('#say'));
    await page.click('[data-decision=divert]');
    await page.waitForSelector('.decide .said >> text=No connection to the lane');
    await c.setOffline(false);
    await page.waitForSelector('#state >> text=your decision');
    await c.close();
    await scene('E1');
  });
  await test('lane page: an overstay that a bilateral agreement may excuse says so, days that are left do not', async () => {
    const c = await context(1440, 1000);
    for (const [what, days, agreement] of [['overstay', { overstay: 5 }, true], ['days left', { days: 60, last_day: '2026-08-18' }, false]]) {
      await scene('E1', { phase: 'REVIEW', class: 'TCN_LISTED', reason: 'FACE', issuer: 'GBR', given: 'OLIVIA', surname: 'SAMPLE', shown: 48, ...days });
      const page = await open(c, lanePages + '/lane');
      if (await page.isVisible('[name=officer]')) { await page.fill('[name=officer]', 'anna'); await page.fill('[name=pin]', '4711'); await page.click('#signin button'); }
      await page.waitForSelector('p.stay');
      const said = await page.textContent('p.stay');
      holds(said.includes('bilateral agreement') === agreement, `${what}: ${said}`);
      await page.close();
    }
    await c.close();
    await scene('E1');
  });
}
