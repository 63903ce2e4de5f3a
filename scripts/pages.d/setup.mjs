// Lanes' computers that join and that are shut out, on the site's console.
import { axe, enlist, fits, holds, same, signIn, stage, test, until } from './kit.mjs';

export default async function () {
  const at = await stage();
  let eva;
  const shut = async lane => {
    await eva.fill('#revoke [name=lane]', lane);
    await eva.click('#revoke button');
    await eva.waitForFunction(() => document.getElementById('revoke-said').textContent.length > 0);
    return eva.textContent('#revoke-said');
  };
  await test('setup: lanes and officers, light and dark, at three sizes: axe finds nothing, nothing is cut off', async () => {
    eva = await enlist(at, 'eva', 'Eva Eile', 'shift_lead');
    await at.cue('/roster');
    await signIn(eva, 'eva', at);
    await eva.click('[data-view=setup]');
    for (const [w, h] of [[1440, 1000], [820, 1180], [390, 844]]) {
      await eva.setViewportSize({ width: w, height: h });
      for (const colorScheme of ['light', 'dark']) {
        await eva.emulateMedia({ colorScheme });
        await fits(eva, `setup ${w} ${colorScheme}`);
        if (w !== 820) await axe(eva, `setup ${w} ${colorScheme}`);
        if (process.env.SHOTS) await eva.screenshot({ path: `${process.env.SHOTS}/setup-${w}-${colorScheme}.png` });
      }
    }
  });
  await test('setup: a lane’s computer is shut out with a touch of the passkey, and the others stay', async () => {
    holds((await shut('E99')).includes('no such lane'), 'nothing says that there is no such lane');
    await eva.evaluate(() => { navigator.credentials.was = navigator.credentials.get; navigator.credentials.get = async () => { throw new DOMException('no', 'NotAllowedError'); }; });
    holds((await shut('E2')).includes('not used'), 'shut out without the passkey');
    await eva.evaluate(() => { navigator.credentials.get = navigator.credentials.was; });
    await eva.waitForTimeout(5); // a word of the same millisecond was heard before
    holds((await shut('E2')).includes('E2 is shut out'), 'nothing says that it is done');
    same(await eva.getAttribute('#revoke-said', 'class'), 'said good', 'its tone');
    if (process.env.SHOTS) await eva.screenshot({ path: `${process.env.SHOTS}/setup-said.png`, fullPage: true });
    const away = async id => (await eva.evaluate(id => document.querySelector(`[data-lane=${id}]`).ariaLabel + document.querySelector(`[data-lane=${id}]`).textContent, id)).includes('not seen');
    await eva.click('[data-view=lanes]');
    await until('E2 is not seen any more', () => away('E2'));
    holds(!await away('E1'), 'E1 is gone, too');
    const words = await eva.evaluate(async () => (await (await fetch('/api/audit')).json()).map(w => [w.officer, w.kind, w.value, w.answer]));
    holds(words.some(w => w.join() === 'eva,shut_out,E2,accepted'), `the audit lacks it: ${JSON.stringify(words)}`);
  });
}
