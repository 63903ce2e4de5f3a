// The traveller's screen: every state, in every language, at three sizes.
import { axe, context, fits, holds, open, same, test, theStage, until } from './kit.mjs';

const sizes = { kiosk: [1080, 1920], wide: [1280, 800], phone: [390, 844] };
// Every state that a traveller can see, with what is told beside it.
const states = [
  ['S1', { phase: 'IDLE' }], ['S2', { phase: 'DOC_READ' }], ['S3', { phase: 'TAKE_DOC', left: 30 }], ['S3', { phase: 'TAKE_DOC', left: 12, reminded: true }], ['S4', { phase: 'SEALING' }],
  ...['', 'closer', 'back', 'look', 'one', 'wait', 'turn', 'up', 'down', 'level', 'still', 'light', 'glare', 'shadow', 'eyes', 'mouth', 'uncover', 'centre'].map(hint => ['S5', { phase: 'INSIDE', hint, left: 20 }]),
  ['S5', { phase: 'INSIDE', light: 'warm' }], ['S5', { phase: 'INSIDE', light: 'cool' }],
  ['S7', { phase: 'MULTI' }], ['S8', { phase: 'LUGGAGE', bag: true }], ['S9', { phase: 'WAIT_DB' }], ['S10', { phase: 'RELEASE', left: 8, class: 'TCN_LISTED', days: 60, last_day: '2026-08-18' }],
  ['S11', { phase: 'DIVERT_OUT' }], ['S12', { phase: 'OUT_OF_SERVICE', closed: true }], ['S13', { phase: 'EVACUATE' }],
];

// The lane paces what is touched, and no traveller is as quick as this test.
async function paced(touch, status) {
  for (;;) {
    const answer = await touch();
    if (status(answer) !== 429) return answer;
    await new Promise(f => setTimeout(f, 100));
  }
}

export default async function () {
  const { lane: lanePages, said, scene } = await theStage();
  const texts = await (await fetch(lanePages + '/traveller/texts')).json(), languages = Object.keys(texts);
  const pages = {};
  await scene('E1');
  for (const [name, [w, h]] of Object.entries(sizes)) {
    const screen = await context(w, h);
    await screen.route('**/traveller/preview*', r => r.abort()); // the pictograms are looked at
    await screen.route(/\/traveller\/[a-z-]+$/, async r => {
      if (r.request().method() !== 'POST') return r.fallback();
      const answer = await paced(() => r.fetch(), a => a.status());
      return r.fulfill({ response: answer });
    });
    pages[name] = await open(screen, lanePages + '/traveller');
  }
  const show = async (s, lang) => {
    await scene('E1', s);
    await paced(() => fetch(lanePages + '/traveller/language', { method: 'POST', body: JSON.stringify({ lang }) }), a => a.status);
  };
  const shown = (page, id, lang, text, hint) => page.waitForFunction(([id, lang, text, hint]) => document.body.dataset.screen === id && document.documentElement.lang === lang && document.getElementById('text').textContent === text && (hint === undefined || document.getElementById('hint').textContent === hint), [id, lang, text, hint], { timeout: 5000, polling: 20 }).catch(async () => { throw new Error(`${id} in ${lang} with the advice "${hint}" is not shown, but ${JSON.stringify(await page.evaluate(() => [document.body.dataset.screen, document.documentElement.lang, document.getElementById('hint').textContent, document.getElementById('left').textContent]))}`); });

  for (const lang of languages) {
    await test(`traveller: ${lang}, every state, ${Object.keys(sizes).length} sizes: nothing missing, nothing cut off`, async () => {
      for (const [id, s] of states) {
        await show(s, lang);
        for (const [name, page] of Object.entries(pages)) {
          const where = `${lang} ${id} ${JSON.stringify(s)} ${name}`;
          const key = { closer: 'S6a', back: 'S6b', one: 'S7', wait: 'S9' }[s.hint] ?? s.hint;
          const want = s.reminded ? texts[lang].take : s.hint && s.hint !== 'look' ? texts[lang][key] : '';
          await shown(page, id, lang, texts[lang][id], want).catch(() => { throw new Error(`${where}: not shown with the advice "${want}"`); });
          await fits(page, where);
          const more = await page.evaluate(() => ({ tall: document.documentElement.scrollHeight - innerHeight, pic: document.querySelectorAll('.pic.on').length, dir: document.documentElement.dir }));
          holds(more.tall <= 1, `${where}: ${more.tall} px too tall`);
          same(more.pic, 1, `${where}: pictograms`);
          same(more.dir, lang === 'ar' ? 'rtl' : 'ltr', `${where}: direction`);
        }
      }
    });
  }
  await test('traveller: dialogs in every language and size', async () => {
    for (const lang of languages) {
      await show({ phase: 'IDLE' }, lang);
      for (const [name, page] of Object.entries(pages)) {
        await shown(page, 'S1', lang, texts[lang].S1);
        for (const [button, dialog] of [['language', 'menu'], ['ease', 'easier'], ['data', 'notice']]) {
          await page.evaluate(b => document.getElementById(b).click(), button);
          await fits(page, `${lang} ${name} ${dialog}`);
          const tall = await page.evaluate(d => { const r = document.getElementById(d).getBoundingClientRect(); return r.bottom - innerHeight; }, dialog);
          holds(tall <= 1, `${lang} ${name} ${dialog}: ${tall} px below the screen`);
          await page.evaluate(d => document.getElementById(d).close(), dialog);
        }
      }
    }
  });
  await test('traveller: days of stay on request, with the plural of the language', async () => {
    for (const [lang, days, want] of [['en', 1, 'You may stay 1 day'], ['en', 60, 'You may stay 60 days'], ['pl', 22, 'Możesz zostać 22 dni'], ['uk', 61, 'Можете залишатися 61 день'], ['ar', 2, 'يمكنك البقاء يومين'], ['ro', 60, 'Puteți rămâne 60 de zile']]) {
      await show({ phase: 'RELEASE', class: 'TCN_LISTED', days, last_day: '2026-08-18' }, lang);
      const page = pages.kiosk;
      await shown(page, 'S10', lang, texts[lang].S10);
      await page.waitForSelector('#stay:not([hidden])');
      await page.click('#stay');
      await page.waitForSelector('#told[open]');
      same(await page.textContent('#told-days'), want, lang);
      await fits(page, `${lang} stay`);
      await page.click('#told .close');
    }
    await show({ phase: 'DIVERT_IN', class: 'TCN_LISTED', reason: 'STAY', days: 60, last_day: '2026-08-18' }, 'en');
    await shown(pages.kiosk, 'S11', 'en', texts.en.S11);
    holds(await pages.kiosk.isHidden('#stay'), 'a diverted traveller is offered days of stay');
  });
  await test('traveller: days of stay that come late are shown to nobody else', async () => {
    const page = pages.kiosk;
    let asked, answer;
    await page.route('**/traveller/stay', async route => {
      const response = await route.fetch();
      asked = true;
      await new Promise(f => { answer = f; });
      await route.fulfill({ response });
    });
    await show({ phase: 'RELEASE', class: 'TCN_LISTED', days: 7, last_day: '2026-08-18' }, 'en');
    await page.waitForSelector('#stay:not([hidden])');
    await page.click('#stay');
    await until('the days are asked for', () => asked);
    await show();
    await shown(page, 'S1', 'en', texts.en.S1);
    const heard = page.waitForResponse('**/traveller/stay');
    answer();
    await (await heard).finished();
    await page.evaluate(() => fetch('/traveller/texts').then(r => r.text()));
    holds(!await page.evaluate(() => document.getElementById('told').open), 'the next traveller is told of them');
    await page.unroute('**/traveller/stay');
  });
  await test('traveller: every language has all the forms that its counts need', async () => {
    const holes = await pages.kiosk.evaluate(t => Object.entries(t).flatMap(([lang, m]) => new Intl.PluralRules(lang).resolvedOptions().pluralCategories.filter(c => !m['stay_' + c]).map(c => `${lang} ${c}`)), texts);
    same(holes, [], 'missing');
  });
  await test('traveller: time that runs out offers more of it, kindly; whoever has it is told so, in every language and size', async () => {
    for (const lang of languages) {
      await show({ phase: 'TAKE_DOC', left: 30 }, lang);
      for (const [name, page] of Object.entries(pages)) {
        await shown(page, 'S3', lang, texts[lang].S3, '');
        await page.waitForSelector('#more:not([hidden])');
        same(await page.textContent('#left'), '0:30', `${lang} ${name}: what is left`);
      }
      await show({ phase: 'TAKE_DOC', left: 15 }, lang);
      for (const [name, page] of Object.entries(pages)) {
        await shown(page, 'S3', lang, texts[lang].S3, texts[lang].time.replace('{more}', texts[lang].more));
        await fits(page, `${lang} ${name}: the offer`);
      }
      await pages.phone.click('#more');
      for (const [name, page] of Object.entries(pages)) {
        await shown(page, 'S3', lang, texts[lang].S3, texts[lang].given);
        same([await page.textContent('#left'), await page.getAttribute('#more', 'aria-pressed'), await page.isDisabled('#more')], ['0:30', 'true', true], `${lang} ${name}: more time`);
        await fits(page, `${lang} ${name}: more time`);
      }
      await show({ phase: 'TAKE_DOC', left: 30, unhurried: true }, lang);
      await show({ phase: 'TAKE_DOC', left: 4, unhurried: true }, lang);
      await shown(pages.wide, 'S3', lang, texts[lang].S3, texts[lang].time.replace('{more}', texts[lang].help));
    }
    same((await said('E1')).filter(x => x === 'more time').length, languages.length, 'wishes that the lane heard');
    await show({ phase: 'DIVERT_OUT', unhurried: true }, 'en');
    await shown(pages.kiosk, 'S11', 'en', texts.en.S11, '');
    holds(await pages.kiosk.isHidden('#more'), 'the neutral screen differs for whoever asked for more time');
  });
  await test('traveller: lower controls ask for more time by themselves', async () => {
    const before = (await said('E1')).filter(x => x === 'more time').length;
    await show({ phase: 'IDLE' }, 'en');
    await shown(pages.kiosk, 'S1', 'en', texts.en.S1);
    await pages.kiosk.click('#ease'); await pages.kiosk.click('#reach');
    await until('the wish', async () => (await said('E1')).filter(x => x === 'more time').length === before + 1);
    await pages.kiosk.click('#easier .close');
    await pages.kiosk.waitForSelector('#more[aria-pressed=true]');
    await axe(pages.kiosk, 'more time');
    await scene('E1', { phase: 'DOC_READ' });
    await shown(pages.kiosk, 'S2', 'en', texts.en.S2); // a page hears the newest state only
    await scene('E1');
    await pages.kiosk.waitForFunction(() => document.body.className === '');
  });
  await test('traveller: large text and lower controls fit, and the next traveller finds the screen as it was', async () => {
    for (const [name, page] of Object.entries(pages)) {
      for (const lang of ['de', 'ru', 'ro', 'ar', 'en']) {
        await show({ phase: 'INSIDE', hint: 'uncover' }, lang);
        await shown(page, 'S5', lang, texts[lang].S5);
        await page.evaluate(() => { for (const b of ['large', 'reach']) if (document.getElementById(b).ariaPressed !== 'true') document.getElementById(b).click(); });
        await fits(page, `${name} ${lang} large`);
      }
      same(await page.evaluate(() => document.body.className), 'large reach', `${name}: set`);
    }
    await scene('E1');
    for (const page of Object.values(pages)) await page.waitForFunction(() => document.body.className === '' && document.body.dataset.screen === 'S1');
  });
  await test('traveller: the help button reaches the lane; a lane that is gone closes the screen', async () => {
    await pages.phone.click('#help');
    await until('help', async () => (await said('E1')).includes('help'));
    const lost = await context(1280, 800);
    await lost.route('**/traveller/events', r => r.abort());
    const screen = await open(lost, lanePages + '/traveller');
    await screen.waitForSelector('body[data-screen=S12]');
    same(await screen.textContent('#text'), texts.en.S12, 'without its lane');
    await lost.close();
  });
  await test('traveller: axe finds nothing, on every screen and dialog', async () => {
    const page = pages.kiosk;
    for (const [id, s] of states.filter(([, s]) => !s.hint || s.hint === 'closer')) {
      await show(s, 'en');
      await shown(page, id, 'en', texts.en[id]);
      await axe(page, `${id} ${JSON.stringify(s)}`);
    }
    await show({ phase: 'IDLE' }, 'ar');
    await shown(page, 'S1', 'ar', texts.ar.S1);
    for (const [button, dialog] of [['language', 'menu'], ['ease', 'easier'], ['data', 'notice']]) {
      await page.click('#' + button);
      await axe(page, dialog);
      await page.evaluate(d => document.getElementById(d).close(), dialog);
    }
  });
  for (const page of Object.values(pages)) await page.context().close();
}
