// Officers whom a directory names: they register, sign in, decide, and lose what
// the directory takes.
import { attend, axe, desk, fits, holds, review, same, test, theStage, until } from './kit.mjs';

const there = page => page.waitForSelector('text=Who are you?');
const named = page => page.waitForSelector('#named:not([hidden])');

export default async function () {
  const at = await theStage(), { cue, organised, said, scene } = at;
  const person = (subject, name, ...groups) => cue(`/person?subject=${subject}` + (name ? `&name=${encodeURIComponent(name)}` : '') + groups.map(g => '&group=' + g).join(''));
  let dora;
  // What the officer's browser asks of the site: no secret stands in an address.
  const asked = [];
  await test('directory: an officer registers a passkey after the directory has named her', async () => {
    await person('s-dora', 'Dora Direkt', 'guards');
    await person('s-eve', 'Eve Elsewhere', 'choir');
    dora = await desk('dora', 390, 844);
    dora.on('request', r => asked.push(r.url()));
    await dora.goto(await cue('/officer?organised&id=dora&name=Dora%20Direkt&role=guard'));
    await dora.waitForSelector('#register:not([hidden])');
    await fits(dora, 'register, before the directory');
    await dora.click('#register button');
    await there(dora);
    await dora.click('text=Dora Direkt');
    await dora.waitForSelector('#who >> text=names Dora Direkt');
    await axe(dora, 'register, with a directory');
    await dora.click('#register button');
    await dora.waitForSelector('#said.good');
    await cue('/roster');
  });
  const signIn = async () => {
    await dora.click('text=Dora Direkt');
    await named(dora);
    await dora.click('#use-passkey');
    await dora.waitForSelector('body[data-signed=yes]');
    await dora.waitForSelector('.tile');
  };
  await test('directory: somebody whom the roster does not know gets no further', async () => {
    await dora.goto(organised + '/');
    holds(!await dora.isVisible('#signin'), 'the passkey is asked first');
    await fits(dora, 'sign-in, before the directory');
    await axe(dora, 'sign-in, before the directory');
    await dora.click('#to-directory');
    await there(dora);
    await dora.click('text=Eve Elsewhere');
    await named(dora);
    holds((await dora.textContent('#signin-said')).includes('roster'), 'nothing says why');
    holds(!await dora.isVisible('#use-passkey'), 'her passkey is asked');
    await fits(dora, 'sign-in, unknown');
    await dora.click('#other');
    await there(dora);
  });
  await test('directory: the other one signs in with directory and passkey, and decides from a phone', async () => {
    await signIn();
    same(new URL(dora.url()).search, '', 'the address after the sign-in');
    for (const m of ['light', 'dark']) { await dora.emulateMedia({ colorScheme: m }); await axe(dora, 'signed in, ' + m); }
    await scene('E2', review);
    await attend(dora, 'E2');
    await dora.click('.case');
    await dora.waitForSelector('.decide');
    await dora.fill('[aria-label=remark]', 'by directory');
    await dora.click('[data-decision=release]');
    await until('the lane released', async () => (await said('E2')).some(x => x.startsWith('dora release') && x.includes('by directory')));
    const ours = asked.filter(u => u.startsWith(organised));
    holds(!ours.some(u => /[?&](code|state)=/.test(u) && !u.includes('/directory/callback?')), 'a secret in an address');
    holds(!ours.some(u => u.includes('/register?')), 'the invitation in an address');
  });
  await test('directory: back goes nowhere that signs in again; a second tab does', async () => {
    await dora.click('#signout');
    await dora.waitForSelector('#directory:not([hidden])');
    const callback = asked.filter(u => u.includes('/directory/callback?')).at(-1);
    await dora.goto(callback);
    await dora.waitForFunction(() => document.getElementById('directory-said').textContent.includes('used already'));
    await fits(dora, 'sign-in, too late');
    const tab = await dora.context().newPage();
    await tab.goto(organised + '/');
    for (const p of [dora, tab]) { await p.locator('#to-directory').dblclick().catch(() => null); await there(p); }
    for (const p of [dora, tab]) { await p.click('text=Dora Direkt'); await named(p); }
    await tab.close();
    await dora.click('#use-passkey');
    await dora.waitForSelector('body[data-signed=yes]');
  });
  await test('directory: who has left it is signed out', async () => {
    await person('s-dora');
    await dora.waitForSelector('#directory:not([hidden])', { timeout: 20000 });
    same(await dora.getAttribute('body', 'data-signed'), 'no', 'still signed in');
  });
}
