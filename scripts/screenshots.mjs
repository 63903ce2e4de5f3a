// Takes the pictures of docs/screenshots on played lanes, whose faces are drawn:
//   node screenshots.mjs OUT [NAME…]     only the pictures whose name begins so
import { attend, browser, context, end, enlist, open, review, signIn, stage } from './pages.d/kit.mjs';

const [out, ...only] = process.argv.slice(2);
const wanted = name => !only.length || only.some(o => name.startsWith(o));
const motion = { reducedMotion: 'reduce' };
async function shot(name, what, more) {
  if (!wanted(name)) return;
  const page = what.page?.() ?? what;
  await page.evaluate(() => Promise.all([document.fonts.ready, ...[...document.images].filter(i => i.src && i.offsetParent && i.id !== 'preview').map(i => i.decode().catch(() => 0))]));
  await page.waitForTimeout(120);
  await what.screenshot({ path: `${out}/${name}.png`, animations: 'disabled', ...more });
  console.log(name);
}

// — The traveller's screen —

const { lane, site, cue, scene, said, ...rest } = await stage('--silent'), at = { lane, site, cue, scene, said, ...rest };
const texts = await (await fetch(lane + '/traveller/texts')).json();
async function traveller() {
  const tall = await open(await context(540, 960, motion), lane + '/traveller'), wide = await open(await context(1280, 800, motion), lane + '/traveller');
  const play = async (s, lang, id, page = tall) => {
    await scene('E1', s);
    await fetch(lane + '/traveller/language', { method: 'POST', body: JSON.stringify({ lang }) });
    await page.waitForFunction(([id, lang]) => document.body.dataset.screen === id && document.documentElement.lang === lang, [id, lang]);
  };
  const preview = on => tall.route('**/traveller/preview*', r => on ? r.continue() : r.abort());
  await preview(false);
  for (const [name, id, s, lang] of [
    ['traveller-S1-place', 'S1', { phase: 'IDLE' }, 'en'], ['traveller-S2-reading', 'S2', { phase: 'DOC_READ' }, 'fr'], ['traveller-S3-take', 'S3', { phase: 'TAKE_DOC', left: 24 }, 'de'],
    ['traveller-S3-forgotten', 'S3', { phase: 'TAKE_DOC', left: 12, reminded: true }, 'es'], ['traveller-S4-marks', 'S4', { phase: 'SEALING' }, 'it'], ['traveller-S6-closer', 'S5', { phase: 'INSIDE', hint: 'closer', left: 20 }, 'nl'],
    ['traveller-S7-one', 'S7', { phase: 'MULTI' }, 'pl'], ['traveller-S8-luggage', 'S8', { phase: 'LUGGAGE', bag: true }, 'pt'], ['traveller-S9-wait', 'S9', { phase: 'WAIT_DB' }, 'ro'],
    ['traveller-S10-go', 'S10', { phase: 'RELEASE', left: 8, class: 'TCN_LISTED', days: 60, last_day: review.last_day }, 'ja'], ['traveller-S11-officer', 'S11', { phase: 'DIVERT_OUT' }, 'uk'],
    ['traveller-S12-closed', 'S12', { phase: 'OUT_OF_SERVICE', closed: true }, 'ko'], ['traveller-S13-leave', 'S13', { phase: 'EVACUATE' }, 'en'],
    ['traveller-arabic', 'S3', { phase: 'TAKE_DOC', left: 24 }, 'ar'], ['traveller-chinese', 'S1', { phase: 'IDLE' }, 'zh'], ['traveller-russian', 'S5', { phase: 'INSIDE', hint: 'uncover', left: 20 }, 'ru'],
    ['traveller-more-time', 'S3', { phase: 'TAKE_DOC', left: 48, unhurried: true }, 'fr'],
  ]) {
    if (!wanted(name)) continue;
    await play(s, lang, id);
    await shot(name, tall);
  }
  await tall.unroute('**/traveller/preview*');
  await play({ phase: 'IDLE' }, 'en', 'S1');
  await play({ phase: 'INSIDE', left: 20, hint: 'closer' }, 'en', 'S5');
  await tall.waitForSelector('body[data-preview]');
  await shot('traveller-S5-look', tall);
  await play({ phase: 'RELEASE', class: 'TCN_LISTED', days: 60, last_day: review.last_day }, 'en', 'S10');
  await tall.click('#stay');
  await shot('traveller-S14-stay', tall);
  await tall.click('#told .close');
  await play({ phase: 'IDLE' }, 'en', 'S1');
  await tall.click('#data');
  await shot('traveller-S15-data', tall);
  await tall.click('#notice .close');
  await tall.click('#language');
  await shot('traveller-languages', tall);
  await tall.evaluate(() => document.getElementById('menu').close());
  await tall.click('#ease');
  await shot('traveller-easier', tall);
  await tall.click('#large'); await tall.click('#reach');
  await tall.click('#easier .close');
  await play({ phase: 'INSIDE', left: 20, hint: 'still' }, 'en', 'S5');
  await shot('traveller-large', tall);
  await play({ phase: 'TAKE_DOC', left: 24 }, 'en', 'S3', wide);
  await shot('traveller-wide', wide);
  for (const p of [tall, wide]) await p.context().close();
}

// — A busy hour —

Object.assign(review, { sex: 'F', number: '533380006' });
const hall = async () => {
  for (const [id, s] of [
    ['E1', { phase: 'INSIDE', class: 'EU', issuer: 'D' }], ['E2', { ...review, alerts: ['review'] }], ['E3', {}], ['E4', { phase: 'HOLD', class: 'EU', issuer: 'SWE', reason: 'HELP', alerts: ['help'] }],
    ['X1', { phase: 'RELEASE', class: 'EU', issuer: 'FRA' }], ['X2', { phase: 'DOC_READ' }], ['X3', { phase: 'OUT_OF_SERVICE', closed: true }],
  ]) await scene(id, s);
};

async function lanePage() {
  await scene('E1', { ...review, alerts: ['review'] });
  const first = await open(await context(1440, 1000, motion), lane + '/lane');
  await first.fill('[name=officer]', 'anna'); await first.fill('[name=pin]', '4711'); await first.click('#signin button');
  await first.waitForSelector('.decide');
  await shot('lane-desk', first);
  const storageState = await first.context().storageState();
  for (const [name, w, h, colorScheme] of [['lane-tablet', 820, 1180, 'dark'], ['lane-phone', 390, 844, 'light']]) {
    const page = await open(await context(w, h, { ...motion, storageState, colorScheme }), lane + '/lane');
    await page.waitForSelector('.decide');
    await shot(name, page);
  }
}

async function console_() {
  const sam = await enlist(at, 'sam', 'Sam Sicher', 'supervisor', 1440, 1000, motion), gus = await enlist(at, 'gus', 'Gus Guard', 'guard', 390, 844, motion);
  await cue('/roster');
  await sam.goto(site + '/');
  await sam.waitForSelector('#signin-view:not([hidden])');
  await shot('console-signin', sam);
  await signIn(sam, 'sam', at); await signIn(gus, 'gus', at);
  for (const id of ['E1', 'E2', 'E3', 'E4']) await attend(sam, id);
  await gus.click('[data-lane=X1]'); await gus.click('#card >> text=Watch this lane'); await gus.click('[data-lane=X2]'); await gus.click('#card >> text=Watch this lane');
  await hall();
  await sam.click('#tabs [data-view=lanes]');
  await sam.waitForSelector('.alarm');
  await shot('console-hall', sam);
  await sam.click('[data-lane=E2]');
  await sam.waitForSelector('.days');
  await shot('console-desk', sam);
  await sam.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' });
  await shot('console-desk-dark', sam);
  await sam.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
  if (wanted('console-case')) { await sam.setViewportSize({ width: 1440, height: 2200 }); await shot('console-case', sam.locator('#card')); await sam.setViewportSize({ width: 1440, height: 1000 }); }
  await sam.setViewportSize({ width: 820, height: 1180 });
  await shot('console-tablet', sam);
  await gus.click('[data-lane=E2]');
  await gus.waitForSelector('.decide');
  await gus.waitForTimeout(300);
  await shot('console-phone', gus);
  await gus.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' });
  await gus.click('#tabs [data-view=lanes]');
  await gus.evaluate(() => scrollTo(0, 0));
  await shot('console-phone-dark', gus);
  await sam.setViewportSize({ width: 1440, height: 1000 });
  await sam.click('[data-lane=E3]');
  await sam.waitForSelector('#past summary');
  await sam.click('#past summary');
  await sam.waitForSelector('#past details summary');
  await sam.locator('#past details summary').first().click();
  await sam.locator('.timeline').first().scrollIntoViewIfNeeded();
  await shot('console-timeline', sam);
  await scene('E1', { cases: ['power_cut'] }); await scene('X2', { cases: ['no_evidence'] });
  // A few words for the audit, and no alarm that stays.
  while (await sam.locator('.alarm button.main').count()) { await sam.locator('.alarm button.main').first().click(); await sam.waitForTimeout(300); }
  for (const [id, n] of [['E4', 1], ['E2', 0]]) {
    await sam.click('#tabs [data-view=lanes]'); await sam.click(`[data-lane=${id}]`);
    await sam.waitForSelector('.choices');
    await sam.locator('.choices > button').nth(n).click();
    await sam.waitForTimeout(300);
  }
  for (const view of ['cases', 'staff', 'audit', 'setup']) { const tab = sam.locator(`#tabs [data-view=${view}]`); if (!await tab.isVisible()) continue; await tab.click(); await sam.waitForTimeout(400); await shot('console-' + view, sam); }
  await sam.click('#tabs [data-view=figures]');
  await sam.waitForFunction(() => document.querySelectorAll('#cells tbody tr').length > 3);
  await shot('console-figures', sam);
  await sam.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' });
  await sam.selectOption('#by', 'class');
  await sam.waitForTimeout(400);
  await shot('console-figures-dark', sam);
  await sam.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
  // Paper, as the printer gets it.
  await hall();
  await sam.click('#tabs [data-view=lanes]'); await sam.click('[data-lane=E2]');
  await sam.waitForSelector('.decide');
  await sam.evaluate(() => { window.print = () => { window.printed = true; }; });
  await sam.click('#sheet');
  await sam.waitForFunction(() => window.printed);
  await sam.emulateMedia({ media: 'print', colorScheme: 'light' });
  await sam.setViewportSize({ width: 794, height: 1123 });
  await shot('console-paper', sam);
}

async function crowd() {
  const many = await stage('--silent', '--crowd', '1000'), lea = await enlist(many, 'lea', 'Lea Lane', 'supervisor', 1440, 1000, motion);
  await many.cue('/roster');
  await signIn(lea, 'lea', many);
  await lea.waitForSelector('#cases li', { timeout: 15000 });
  await lea.waitForTimeout(700);
  await lea.mouse.move(5, 900);
  await shot('console-thousand', lea);
}

// The report of an acceptance test on the simulated gate, on paper's width.
async function acceptance() {
  const paper = await open(await context(900, 1320), `file://${process.cwd()}/.cache/acceptance/ABC-LANE/acceptance.html`);
  await shot('acceptance', paper);
  await shot('acceptance-luggage', paper.locator('#luggage'));
}

if (wanted('acceptance')) await acceptance();
if (wanted('traveller')) await traveller();
if (wanted('lane')) await lanePage();
if (!only.length || only.some(o => o.startsWith('console') && o !== 'console-thousand')) await console_();
if (wanted('console-thousand')) await crowd();
await end();
