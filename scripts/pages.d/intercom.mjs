// The intercom: sound from an officer's page to a lane's screen and back, by
// Chromium's own simulated microphones, which beep once a second.
import { attend, axe, context, enlist, fits, holds, open, review, signIn, stage, test, until } from './kit.mjs';

// loudest is the most that a page's ear hears within some time: 0 is silence.
const loudest = (page, ms = 1500) => page.evaluate(async ms => {
  const ear = document.getElementById('ear');
  if (!ear?.srcObject) return -1;
  const sound = new AudioContext(), look = sound.createAnalyser(), data = new Float32Array(look.fftSize);
  sound.createMediaStreamSource(ear.srcObject).connect(look);
  await sound.resume();
  let most = 0;
  for (const end = performance.now() + ms; performance.now() < end; await new Promise(f => setTimeout(f, 20))) {
    look.getFloatTimeDomainData(data);
    for (const x of data) most = Math.max(most, Math.abs(x));
  }
  await sound.close();
  return most;
}, ms);
const heard = (page, what) => until(what, async () => await loudest(page) > .02, 20000);

export default async function () {
  const at = await stage(), { cue, scene } = at;
  let ina, gil, screen;
  await test('intercom: officers sign in, and a screen stands at its lane', async () => {
    ina = await enlist(at, 'ina', 'Ina Intercom', 'guard');
    gil = await enlist(at, 'gil', 'Gil Guard', 'guard', 390, 844);
    await cue('/roster');
    for (const [p, id] of [[ina, 'ina'], [gil, 'gil']]) await signIn(p, id, at);
    screen = await open(await context(800, 1280), at.lane + '/traveller');
    await scene('E1', review);
    holds(!await screen.isVisible('#call'), 'the screen says that somebody hears');
  });
  await test('intercom: who does not watch the lane does not speak', async () => {
    await ina.click('[data-lane=E1]');
    await ina.click('#talk');
    await ina.waitForFunction(() => document.querySelector('#intercom output').textContent.length > 0);
    holds(!await screen.isVisible('#call'), 'the screen rang');
  });
  await test('intercom: the traveller is heard, and told so; the officer while the button is held', async () => {
    await ina.click('#card >> text=Watch this lane');
    await ina.waitForSelector('#card >> text=Watched by');
    await ina.click('#talk');
    await ina.waitForSelector('#hold:not([hidden])');
    holds(await screen.isVisible('#call'), 'the screen does not say that somebody hears');
    await fits(screen, 'screen, in a call');
    await axe(screen, 'screen, in a call');
    await heard(ina, 'the officer hears the traveller');
    holds(await loudest(screen) < .005, 'the officer is heard without the button');
    await ina.locator('#hold').scrollIntoViewIfNeeded();
    const b = await ina.locator('#hold').boundingBox();
    await ina.mouse.move(b.x + b.width / 2, b.y + b.height / 2);
    await ina.mouse.down();
    await axe(ina, 'console, speaking');
    await heard(screen, 'the traveller hears the officer');
    await ina.mouse.up();
    await until('the officer is silent again', async () => await loudest(screen, 1200) < .005);
  });
  await test('intercom: another officer does not come between', async () => {
    await attend(gil, 'E1');
    await gil.click('#talk');
    await gil.waitForFunction(() => document.querySelector('#intercom output').textContent.length > 0);
    holds(await screen.isVisible('#call') && await ina.isVisible('#hang'), 'the call was cut');
    await fits(gil, 'phone, refused');
  });
  await test('intercom: it ends with the officer’s hand, and with the sign-out', async () => {
    await ina.click('#hang');
    await screen.waitForSelector('#call', { state: 'hidden' });
    holds(await screen.evaluate(() => !document.getElementById('ear')), 'the screen still listens');
    await ina.click('#talk');
    await ina.waitForSelector('#hold:not([hidden])');
    await ina.click('#signout');
    await screen.waitForSelector('#call', { state: 'hidden' });
    await ina.waitForSelector('#signin-view:not([hidden])');
    holds(await ina.evaluate(() => !document.getElementById('ear')), 'the officer still hears');
  });
  await test('intercom: it ends when the officer’s page is gone, and when there is another traveller', async () => {
    await gil.click('#talk');
    await gil.waitForSelector('#hold:not([hidden])');
    await fits(gil, 'phone, in a call');
    await scene('E1', { ...review, given: 'NEXT' });
    await screen.waitForSelector('#call', { state: 'hidden' });
    await gil.waitForSelector('#talk:not([hidden])');
    await gil.waitForFunction(() => document.querySelector('#case-box .name')?.textContent.includes('NEXT'));
    await gil.click('#talk');
    await gil.waitForSelector('#hold:not([hidden])');
    await gil.close();
    await screen.waitForSelector('#call', { state: 'hidden', timeout: 20000 });
  });
  await test('intercom: a page without its officer, and another machine’s screen, ring nothing', async () => {
    const r = await fetch(at.lane + '/traveller/call', { method: 'POST', body: JSON.stringify({ id: 'x', sdp: 'v=0' }) });
    holds(r.status === 409, `an answer to nothing: ${r.status}`);
    const q = await fetch(at.site + '/api/lane/E1/call');
    holds(q.status === 401, `who speaks, to a stranger: ${q.status}`);
  });
}
