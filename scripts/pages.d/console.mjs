// The site's console: who signs in, who decides, and what everybody sees.
import { attend, axe, browser, context, enlist, fits, holds, open, review, same, signIn, test, theStage, until } from './kit.mjs';

export default async function () {
  const at = await theStage(), { cue, said, scene, site } = at;
  let sam, pia, gus;
  await test('console: three officers register passkeys; nobody signs in before the roster is signed; then they do', async () => {
    sam = await enlist(at, 'sam', 'Sam Sicher', 'supervisor');
    pia = await enlist(at, 'pia', 'Pia Phone', 'guard', 390, 844);
    gus = await enlist(at, 'gus', 'Gus Guard', 'guard');
    await sam.goto(site + '/');
    await sam.fill('#officer', 'sam'); await sam.click('#signin button.main');
    await sam.waitForFunction(() => document.getElementById('signin-said').textContent.length > 0);
    same(await sam.getAttribute('body', 'data-signed'), 'no', 'signed in without a roster');
    await cue('/roster');
    for (const [p, id] of [[sam, 'sam'], [pia, 'pia'], [gus, 'gus']]) await signIn(p, id, at);
    holds(await sam.isVisible('#training'), 'nothing says that the lanes are simulated');
  });
  await test('console: a review decided from a phone', async () => {
    await scene('E2', review);
    await attend(pia, 'E2');
    await pia.waitForSelector('.case');
    await pia.click('.case');
    await pia.waitForSelector('.decide');
    await fits(pia, 'phone, review');
    await pia.fill('[aria-label=remark]', 'same person');
    await pia.click('[data-decision=release]');
    await until('the lane released', async () => (await said('E2')).some(x => x.startsWith('pia release') && x.includes('same person')));
  });
  await test('console: two officers press at once, again and again: exactly one wins each time', async () => {
    for (let n = 0; n < 6; n++) {
      const before = (await said('E3')).filter(x => /release|divert/.test(x)).length;
      await scene('E3', { ...review, given: 'RACE ' + n });
      for (const p of [sam, gus]) {
        if (!(await p.evaluate(() => location.hash)).endsWith('E3')) await p.click('[data-lane=E3]');
        await p.waitForFunction(name => document.querySelector('#case-box .name')?.textContent.includes(name) && document.querySelector('.decide'), 'RACE ' + n);
      }
      await Promise.all([sam.evaluate(() => document.querySelectorAll('.choices > button')[0].click()), gus.evaluate(() => document.querySelectorAll('.choices > button')[1].click())]);
      await until('a decision', async () => (await said('E3')).filter(x => /release|divert/.test(x)).length > before);
      await new Promise(f => setTimeout(f, 150));
      same((await said('E3')).filter(x => /release|divert/.test(x)).length, before + 1, `round ${n}: decisions`);
    }
  });
  await test('console: a double click, and keys in a hurry, are one word', async () => {
    await scene('E4', review);
    await sam.click('[data-lane=E4]');
    await sam.waitForSelector('.decide');
    await sam.locator('.choices > button').nth(1).dblclick();
    await until('a decision', async () => (await said('E4')).length > 0);
    await new Promise(f => setTimeout(f, 200));
    same((await said('E4')).filter(x => x.startsWith('sam')).length, 1, 'decisions');
  });
  await test('console: the network fails in the middle of a decision: said so, nothing repeated, and the truth shows when it is back', async () => {
    await scene('E2', review);
    await sam.click('[data-lane=E2]');
    await sam.waitForSelector('.decide');
    await sam.context().setOffline(true);
    try {
      await sam.locator('.choices > button').nth(1).click();
      await sam.waitForFunction(() => document.getElementById('card-said')?.textContent.includes('No connection'), null, { timeout: 10000, polling: 50 });
      same((await said('E2')).filter(x => x.startsWith('sam')).length, 0, 'decisions');
    } finally { await sam.context().setOffline(false); }
    await sam.waitForFunction(() => document.getElementById('link').textContent === '', null, { timeout: 20000 });
    same((await said('E2')).filter(x => x.startsWith('sam')).length, 0, 'decisions that were repeated');
    await sam.locator('.choices > button').nth(1).click();
    await until('a decision', async () => (await said('E2')).filter(x => x.startsWith('sam')).length === 1);
  });
  await test('console: back goes to the lane before, and sends nothing', async () => {
    const before = (await said('E1')).length;
    await sam.click('[data-lane=E1]');
    await sam.click('[data-view=staff]');
    await sam.waitForSelector('#staff-view:not([hidden])');
    await sam.goBack();
    await sam.waitForSelector('#lanes-view:not([hidden])');
    holds((await sam.textContent('#card h2')).includes('E1'), 'the lane is not shown');
    same((await said('E1')).length, before, 'words');
  });
  await test('console: back in the middle of a decision: one word, and what came of it', async () => {
    await scene('E4', review);
    await sam.click('[data-view=staff]');
    await sam.click('[data-view=lanes]');
    await sam.click('[data-lane=E4]');
    await sam.waitForSelector('.decide');
    let held;
    await sam.route('**/api/word/E4', r => { held = r; });
    await sam.locator('.choices > button').nth(1).click();
    await until('the word is on its way', () => held);
    await sam.goBack();
    await sam.waitForFunction(() => document.getElementById('card').hidden);
    await held.continue();
    await sam.unroute('**/api/word/E4');
    await until('a decision', async () => (await said('E4')).some(x => x.startsWith('sam')));
    await sam.goForward();
    await sam.waitForSelector('#card .state >> text=coming back');
    await sam.waitForTimeout(200);
    same((await said('E4')).filter(x => x.startsWith('sam divert')).length - 1, 1, 'words, beside the one before');
  });
  await test('console: faces flip and grow, and what was typed stays when the case goes on', async () => {
    await scene('E2', { ...review, signatures: 2 });
    await sam.click('[data-lane=E2]');
    await sam.waitForSelector('.decide');
    const wide = () => sam.evaluate(() => document.querySelector('.faces img').getBoundingClientRect().width), before = await wide();
    await sam.click('text=Larger');
    holds(await wide() > before * 1.3, 'the face did not grow');
    await sam.click('text=Flip between');
    const seen = () => sam.evaluate(() => [...document.querySelectorAll('.faces figure')].map(f => getComputedStyle(f).visibility));
    same(await seen(), ['visible', 'hidden'], 'the chip’s face');
    await sam.click('.faces');
    same(await seen(), ['hidden', 'visible'], 'the live face');
    await sam.fill('[aria-label=remark]', 'a scar on the left');
    await sam.locator('.choices > button').first().click();
    await sam.waitForSelector('.choices >> text=1 of 2 officers');
    same(await sam.inputValue('[aria-label=remark]'), 'a scar on the left', 'the remark');
    await scene('E2');
  });
  await test('console: each decision says what it does, or why it is not to be had; no code, and no colour that speaks for a release against a check', async () => {
    const at = async (s, name) => {
      await scene('E4', { ...review, ...s, given: name });
      if (!(await sam.evaluate(() => location.hash)).endsWith('E4')) await sam.click('[data-lane=E4]');
      await sam.waitForFunction(n => document.querySelector('#case-box .name')?.textContent.includes(n) && document.querySelector('.decide'), name);
      return sam.evaluate(() => { const b = document.querySelector('[data-decision=release]'); return { off: b.disabled, says: b.querySelector('small').textContent, main: b.matches('.main') }; });
    };
    same(await at({ reason: 'OFFICER' }, 'CONFIRM'), { off: false, says: 'opens the exit', main: true }, 'a confirmation');
    same(await at({ reason: 'FACE' }, 'DOUBT'), { off: false, says: 'opens the exit', main: false }, 'a face that does not match');
    same(await at({ reason: 'ALERT', signatures: -1 }, 'NEVER'), { off: true, says: 'never at the gate, for this', main: false }, 'a stolen document');
    same(await at({ phase: 'HOLD', reason: 'HELP' }, 'HELD'), { off: true, says: 'after “Back to review”', main: false }, 'a person who is held');
    await at({ reason: 'PAD', signatures: 2 }, 'TWO');
    holds((await sam.textContent('[data-lane=E4] .sub')).includes('visa-free · attack alarm'), await sam.textContent('[data-lane=E4] .sub'));
    same(await sam.evaluate(() => [...document.querySelectorAll('[aria-label=reason] optgroup')].map(g => g.label)), ['Release', 'Divert', 'Hold', 'Face again', 'Second line'], 'reasons by decision');
    const before = (await said('E4')).length;
    await sam.click('[data-decision=release]');
    await sam.waitForSelector('#card-said >> text=Write in the remark why');
    same((await said('E4')).length, before, 'words of an override without a written reason');
    await scene('E4');
  });
  await test('console: a lane of both ways is turned round by a supervisor, with the passkey once more; a guard gives more time', async () => {
    await scene('E3', { both_ways: true });
    await gus.click('[data-lane=E3]');
    await gus.waitForSelector('#card >> text=entry, of both ways');
    await gus.click('#card details.more summary');
    same(await gus.locator('#card .orders >> text=/Serve/').count(), 0, 'orders of direction for a guard');
    await sam.click('[data-lane=E3]');
    await sam.waitForSelector('#card >> text=entry, of both ways');
    await sam.click('#card details.more summary');
    same(await sam.locator('#card .orders >> text=Serve entry').count(), 0, 'the order to serve what is served');
    await sam.click('#card .orders >> text=Serve exit');
    await sam.waitForSelector('#ask[open]');
    await sam.click('#ask [value=yes]');
    await sam.waitForSelector('#card >> text=exit, of both ways');
    holds((await said('E3')).includes('sam direction_exit'), 'the lane has not heard it');
    await scene('E3', { phase: 'INSIDE', class: 'EU', issuer: 'FRA', given: 'JEAN', surname: 'LENT', both_ways: true, turned: true });
    await gus.waitForSelector('#card .state >> text=face'); // what was opened stays open
    await gus.click('#card .orders >> text=More time');
    await gus.waitForSelector('#card >> text=more time given');
    await scene('E3');
  });
  await test('console: a question that is closed is no yes, whatever was answered before', async () => {
    await sam.click('[data-lane=E3]');
    const order = async () => {
      if (!await sam.locator('#card details.more[open]').count()) await sam.click('#card details.more summary');
      await sam.click('#card .orders >> text=Evacuate');
      await sam.waitForSelector('#ask[open]');
    };
    const orders = async () => (await said('E3')).filter(x => x.includes('evacuate')).length;
    await order();
    await sam.click('#ask [value=yes]');
    await until('the order', async () => await orders() === 1);
    await scene('E3');
    await order();
    await sam.keyboard.press('Escape');
    await sam.waitForFunction(() => !document.getElementById('ask').open);
    await order();
    await sam.click('#ask [value=no]');
    // The lane hears words in their order: what came before this one would be there.
    await sam.click('#card .orders >> text=Close');
    await until('the next order', async () => (await said('E3')).at(-1)?.startsWith('sam close'));
    same(await orders(), 1, 'evacuations ordered');
    await scene('E3');
  });
  await test('console: charts show what the server counted, by the site’s clock, with the same in words; a day of 25 hours has all of them', async () => {
    await sam.click('[data-view=figures]');
    await sam.waitForSelector('#chart rect');
    const look = () => sam.evaluate(() => ({
      bars: [...document.querySelectorAll('#chart rect')].filter(r => +r.getAttribute('y') < 214).map(r => [r.getAttribute('class'), +r.getAttribute('height')]),
      rings: [...document.querySelectorAll('#times circle')].map(c => +c.getAttribute('cy')), words: [...document.querySelectorAll('.columns')].map(s => s.ariaLabel),
      rows: [...document.querySelectorAll('#cells tbody tr')].map(r => r.children[0].textContent), names: [...document.querySelectorAll('#chart text')].map(t => t.textContent), zone: document.getElementById('zone').textContent,
    }));
    const { cells } = await sam.evaluate(async () => (await fetch('/api/statistics?by=hour')).json()), got = await look(), most = Math.max(...cells.map(c => c.crossings ?? 0));
    const want = cells.flatMap(c => c.released == null ? [['undivided', c.crossings]] : [['released', c.released], ['diverted', c.diverted], ['other', c.crossings - c.released - c.diverted]]).filter(([, n]) => n > 0).map(([k, n]) => [k, 190 * n / most]);
    holds(want.length > 4, 'too few bars to tell anything');
    same(got.bars.map(([k]) => k), want.map(([k]) => k), 'bars');
    holds(want.every(([, h], i) => Math.abs(got.bars[i][1] - h) < .01), `heights ${JSON.stringify(got.bars)}, want ${JSON.stringify(want)}`);
    same(got.rings.length, cells.filter(c => c.p50_ms != null).length, 'rings at the medians');
    holds(cells.every(c => got.words[0].includes(c.crossings == null ? 'fewer than 20' : `: ${c.crossings}`)), `not in words: ${got.words[0]}`);
    holds(got.zone.includes('UTC'), `the clock: ${got.zone}`);
    const turn = ['00:00+02:00', '01:00+02:00', '02:00+02:00', '02:00+01:00', '03:00+01:00'];
    await sam.route('**/api/statistics*', r => r.fulfill({ json: { timezone: 'Europe/Paris', cells: turn.map((t, i) => ({ key: '2026-10-25T' + t, crossings: 20 + 20 * i, released: null, diverted: null, p50_ms: 12000, p95_ms: 18000, asked: null, false_alarms: null })) } }));
    await sam.selectOption('#span', '168');
    await sam.waitForFunction(() => document.querySelectorAll('#cells tbody tr').length === 5);
    const back = await look();
    same(back.rows, ['25 Oct 2026, 00:00', '25 Oct 2026, 01:00', '25 Oct 2026, 02:00 UTC+2', '25 Oct 2026, 02:00 UTC+1', '25 Oct 2026, 03:00'], 'the hours');
    same(back.bars.map(([, h]) => Math.round(h)), [38, 76, 114, 152, 190], 'their bars');
    holds(['00', '01', '02 UTC+2', '02 UTC+1', '03'].every(n => back.names.includes(n)), `the columns’ names: ${back.names}`);
    await sam.unroute('**/api/statistics*');
    await sam.selectOption('#span', '24');
  });
  await test('console: a crossing’s timeline has every step where it was, and says so in words; the keyboard gets there', async () => {
    const [c] = await sam.evaluate(async () => (await fetch('/api/crossings?lane=X2')).json());
    await sam.click('[data-view=lanes]');
    await sam.click('[data-lane=X2]');
    await sam.locator('#past > summary').focus();
    await sam.keyboard.press('Enter');
    await sam.waitForSelector('#past details summary');
    await sam.locator('#past details summary').first().focus();
    await sam.keyboard.press('Enter');
    await sam.waitForSelector('#past .timeline rect');
    const got = await sam.evaluate(() => ({ bars: [...document.querySelectorAll('#past .timeline rect')].map(r => [+r.getAttribute('x'), +r.getAttribute('width')]), words: document.querySelector('#past .timeline').ariaLabel }));
    const us = Math.max(c.took * 1000, ...c.timeline.map(s => s.e));
    same(got.bars.length, c.timeline.length, 'bars');
    holds(c.timeline.every((s, i) => Math.abs(got.bars[i][0] - (190 + 400 * s.s / us)) < .01 && Math.abs(got.bars[i][1] - Math.max(1.5, 400 * (s.e - s.s) / us)) < .01), `bars ${JSON.stringify(got.bars)}`);
    same(got.words.split('; ').length, c.timeline.length, 'steps in words');
    holds(/reading from 0\.0 s to \d+\.\d s/.test(got.words), got.words);
  });
  await test('console: the audit finds a word by its officer', async () => {
    await sam.click('[data-view=audit]');
    await sam.fill('#search [name=officer]', 'pia');
    await sam.click('#search button');
    await sam.waitForFunction(() => document.querySelectorAll('#words tbody tr').length > 0 && [...document.querySelectorAll('#words tbody tr')].every(r => r.children[1].textContent === 'pia'));
    holds((await sam.textContent('#words')).includes('decide release'), 'the release is missing');
  });
  await test('console: an alarm rings until somebody answers by name', async () => {
    await scene('X1', { phase: 'HOLD', alerts: ['help'], reason: 'HELP', issuer: 'D', class: 'EU' });
    for (const p of [sam, gus]) await p.waitForSelector('.alarm >> text=help');
    await axe(sam, 'alarm');
    await sam.click('.alarm button.main');
    for (const p of [sam, gus]) await p.waitForFunction(() => !document.querySelector('.alarm'));
    await gus.click('[data-lane=X1]');
    await gus.waitForSelector('#card >> text=sam sees to it');
    await scene('X1');
  });
  await test('console: an alarm rings for those who watch; after half a minute it is the supervisor’s', async () => {
    await attend(gus, 'X1');
    await scene('X1', { phase: 'HOLD', alerts: ['hold'], reason: 'CAMERA', issuer: 'D', class: 'EU' });
    await gus.waitForSelector('.alarm:not(.quiet, .late)');
    await sam.waitForSelector('.alarm.quiet:not(.late)'); // seen, and gus's to answer
    await sam.click('[data-view=audit]');
    holds(await sam.isVisible('.alarm'), 'the alarm is hidden on another view');
    await scene('X1', { phase: 'HOLD', alerts: ['hold'], alert_age: 31, again: 2, reason: 'CAMERA', issuer: 'D', class: 'EU' });
    await sam.waitForSelector('.alarm.late:not(.quiet) >> text=it is yours now');
    await sam.waitForSelector('.alarm time >> text=3 times, last');
    await gus.waitForSelector('.alarm.late >> text=your supervisor has been called');
    await axe(sam, 'late alarm');
    await sam.click('[data-view=lanes]'); await sam.click('[data-lane=X1]');
    await sam.waitForSelector('#card .decide');
    holds(await sam.evaluate(() => scrollY === 0 && [...document.querySelectorAll('.choices button')].every(b => b.getBoundingClientRect().bottom <= innerHeight)), 'alarms push the decisions out of sight');
    await sam.click('.alarm button.main');
    for (const p of [sam, gus]) await p.waitForFunction(() => !document.querySelector('.alarm'));
    await gus.click('[data-lane=X1]');
    await gus.click('#card >> text=Stop watching');
    await scene('X1');
  });
  await test('console: nobody at the keys: asked, then locked, and nothing of a traveller stays on the screen', async () => {
    await scene('E2', review);
    const hasty = site.replace(/0$/, '1');
    const signed = async () => { await gus.fill('#officer', 'gus'); await gus.click('#signin button.main'); await gus.waitForSelector('body[data-signed=yes]'); };
    await gus.goto(hasty + '/');
    await gus.waitForSelector('#signin-view:not([hidden])');
    await signed();
    await gus.click('[data-lane=E2]');
    await gus.waitForSelector('.decide');
    await gus.waitForSelector('#still[open]'); // axe looks at its like on the lane page, where time stands still
    await gus.mouse.move(300, 300); await gus.mouse.move(310, 310);
    await gus.waitForFunction(() => !document.getElementById('still').open);
    same(await gus.getAttribute('body', 'data-signed'), 'yes', 'a hand on the mouse');
    // The hand that was felt keeps the site's session, too.
    for (let n = 0; n < 20; n++) { await gus.waitForTimeout(450); await gus.mouse.move(200 + n, 200); }
    same(await gus.evaluate(async () => (await fetch('/api/cases')).status), 200, 'the session of a page in use');
    await gus.context().setOffline(true);
    await gus.waitForSelector('body[data-signed=no]', { timeout: 20000 });
    holds(!(await gus.textContent('body')).includes('OLIVIA'), 'the name is still on the page');
    same(await gus.evaluate(() => document.querySelectorAll('img').length), 0, 'pictures');
    await gus.context().setOffline(false);
    same(await gus.evaluate(async () => (await fetch('/api/cases')).status), 401, 'the session after the lock');
    await signIn(gus, 'gus', at);
  });
  await test('console: what comes after the sign-out is shown to nobody, and hinders nobody who comes next', async () => {
    await scene('E2', { ...review, cases: ['power_cut'] });
    await gus.click('#tabs [data-view=lanes]');
    if (!await gus.isVisible('#card >> text=Lane E2')) await gus.click('[data-lane=E2]');
    await gus.waitForSelector('.decide');
    // Answers that wait until somebody has signed out: what the site said is known, the page hears it late.
    const late = [], told = [];
    let holding = true, let_go;
    const gate = new Promise(f => { let_go = f; }), slow = /\/api\/(lane\/E2\/case|cases|crossings|word\/E2)(\?|$)/;
    await gus.route(slow, async route => {
      if (!holding) return route.continue();
      const response = await route.fetch();
      late.push(route.request().url());
      await gate;
      await route.fulfill({ response });
      told.push(route.request().url());
    });
    const waits = what => until(`${what} is waited for`, () => late.some(u => u.includes(what)));
    await gus.click('#past summary');
    await waits('crossings');
    await gus.locator('.choices > button').nth(1).click();
    await waits('word/E2');
    await scene('E2', { ...review, given: 'LATER' });
    await waits('lane/E2/case');
    await gus.click('#tabs [data-view=cases]');
    await waits('api/cases');
    holding = false;
    await gus.click('#signout');
    await gus.waitForSelector('body[data-signed=no]');
    let_go();
    await until('every answer has come', () => told.length === late.length);
    await gus.unroute(slow);
    await gus.evaluate(() => fetch('/api/me').then(r => r.text()));
    const left = await gus.textContent('main');
    holds(!/SAMPLE|OLIVIA|LATER/.test(left), 'a name is on the page');
    same(await gus.evaluate(() => document.querySelectorAll('#settle li, #case-box, #card *').length), 0, 'what is left of cases');
    await signIn(gus, 'gus', at);
    await scene('E2', { ...review, given: 'NEXT' });
    await gus.click('[data-lane=E2]');
    await gus.waitForFunction(() => document.querySelector('#case-box .name')?.textContent.includes('NEXT') && document.querySelector('.decide'));
    const before = (await said('E2')).length;
    await gus.locator('.choices > button').nth(1).click();
    await until('the next decision', async () => (await said('E2')).length > before);
    await scene('E2');
  });
  await test('console: installs as an app', async () => {
    const cdp = await sam.context().newCDPSession(sam), { errors: wrong } = await cdp.send('Page.getAppManifest');
    same(wrong, [], 'manifest');
    same((await cdp.send('Page.getInstallabilityErrors')).installabilityErrors.filter(e => e.errorId !== 'in-incognito'), [], 'hindrances');
  });
  await test('console: open cases of all lanes are listed and settled', async () => {
    await scene('E1', { cases: ['power_cut'] }); await scene('X2', { cases: ['no_evidence'] });
    await sam.click('[data-view=cases]');
    await sam.waitForFunction(() => document.querySelectorAll('#settle li').length === 2);
    await axe(sam, 'open cases');
    const row = sam.locator('#settle li', { hasText: 'X2' });
    await row.locator('select').selectOption('crossed');
    await row.locator('button').click();
    await sam.waitForFunction(() => document.querySelectorAll('#settle li').length === 1);
    same((await said('X2')).includes('sam crossed'), true, 'the lane heard');
  });
  await test('console: a shift is handed over without a gap', async () => {
    await gus.click('[data-view=staff]');
    const row = gus.locator('#staff tr', { hasText: 'pia' });
    await row.locator('button').click();
    await until('both watch E2', async () => (await gus.textContent('#staff')).match(/E2/g)?.length === 2);
    await pia.click('[data-view=staff]');
    await pia.click('text=Stop watching those');
    await until('gus alone watches E2', async () => (await gus.textContent('#staff')).match(/E2/g)?.length === 1);
    await axe(gus, 'staff');
  });
  await test('console: paper for the desk has the case, and is taken apart again', async () => {
    await scene('E2', { ...review, reason: 'ALERT' });
    await sam.click('[data-view=lanes]');
    await sam.click('[data-lane=E2]');
    await sam.waitForSelector('#sheet');
    await sam.evaluate(() => { window.print = () => { window.paper = document.getElementById('paper').innerText; dispatchEvent(new Event('afterprint')); }; });
    await sam.click('#sheet');
    await sam.waitForFunction(() => window.paper);
    const text = await sam.evaluate(() => window.paper);
    for (const want of ['OLIVIA SAMPLE', 'lane E2', 'hit action', 'TRAINING', 'Sam Sicher']) holds(text.includes(want), `the paper lacks ${want}`);
    same(await sam.evaluate(() => document.getElementById('paper').childNodes.length), 0, 'left behind');
  });
  await test('console: a stolen cookie in another browser, and no cookie, see and say nothing', async () => {
    const cookies = await sam.context().cookies();
    const thief = await browser.newContext({ userAgent: 'another browser' });
    await thief.addCookies(cookies);
    for (const c of [thief, await context(800, 600)]) {
      for (const path of ['/api/events', '/api/lane/E2/case', '/api/cases', '/api/audit']) same((await c.request.get(site + path)).status(), 401, path);
      same((await c.request.post(site + '/api/word/E2', { data: {} })).status(), 401, 'a word');
    }
    // The theft ended the session for its owner too: sign in again.
    await signIn(sam, 'sam', at);
    const same_ = await sam.evaluate(async () => (await fetch('/api/word/E2', { method: 'POST', body: JSON.stringify({ session: { officer: 'sam', key: '', issued: 1, expires: 2, assertion: null }, word: btoa('{"lane":"E2","kind":"decide","value":"release"}'), signature: '' }) })).status);
    same(same_, 403, 'a word without the session key');
  });
  await test('console: every view, light and dark, at three sizes: axe finds nothing, nothing is cut off', async () => {
    await scene('E2', { ...review, signatures: 2, reason: 'PAD', pad: '0.91' });
    await until('the figures', async () => (await sam.evaluate(async () => (await (await fetch('/api/statistics?by=lane')).json()).cells.length)) >= 7, 30000);
    for (const [w, h] of [[1440, 1000], [820, 1180], [390, 844]]) {
      await sam.setViewportSize({ width: w, height: h });
      for (const colorScheme of ['light', 'dark']) {
        await sam.emulateMedia({ colorScheme });
        for (const view of ['lanes', 'cases', 'staff', 'figures', 'audit']) {
          await sam.click(`[data-view=${view}]`);
          if (view === 'lanes') { await sam.click('[data-lane=E2]'); await sam.waitForSelector('.days'); }
          await sam.waitForTimeout(100);
          await fits(sam, `${view} ${w} ${colorScheme}`);
          if (w !== 820) await axe(sam, `${view} ${w} ${colorScheme}`);
        }
      }
    }
    await sam.keyboard.press('?');
    await axe(sam, 'keys');
    await sam.keyboard.press('Escape');
    const out = await open(await context(390, 844, { colorScheme: 'dark' }), site + '/');
    await out.waitForSelector('#signin-view:not([hidden])');
    await axe(out, 'sign in');
    await out.goto(site + '/register');
    await axe(out, 'register');
  });
}
