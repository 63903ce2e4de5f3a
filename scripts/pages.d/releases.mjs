// Configuration rolled out to lanes: two officers sign, every lane proves, and
// what goes wrong stops it.
import { axe, enlist, fits, holds, same, signIn, test, theStage, until } from './kit.mjs';

export default async function () {
  const at = await theStage(), { cue, scene } = at;
  let tom, lea;
  const drafted = async (name, content) => {
    if (!await tom.isVisible('#draft')) await tom.click('#make > summary');
    await tom.fill('#draft-name', name); await tom.fill('#draft-content', content);
    await tom.click('#draft button');
    await tom.click('#drafts >> text=Propose, with my passkey');
    await tom.waitForSelector('#drafts >> text=Another supervisor activates it');
  };
  const activated = async (which, stages) => {
    const form = lea.locator('#drafts form');
    await form.locator('[name=which]').selectOption({ label: which });
    await form.locator('[name=stages]').fill(stages); await form.locator('[name=soak]').fill('0');
    await form.locator('summary').click();
    await form.locator('[name=crossings]').fill('0');
    await axe(lea, 'a plan');
    await form.locator('button.main').click();
    await lea.waitForSelector('#rollouts .release');
  };
  await test('releases: values are drafted and proposed by one officer, and the same one cannot activate them', async () => {
    tom = await enlist(at, 'tom', 'Tom Technik', 'technician', 820, 1180);
    lea = await enlist(at, 'lea', 'Lea Lane', 'supervisor');
    await cue('/roster');
    await signIn(tom, 'tom', at); await signIn(lea, 'lea', at);
    for (const id of ['E1', 'E2', 'E3', 'E4', 'X1', 'X2', 'X3']) await scene(id); // empty: a lane takes nothing while it serves
    for (const p of [tom, lea]) await p.click('#tabs [data-view=releases]');
    await tom.click('#make > summary');
    await tom.fill('#draft-name', 'a mistake'); await tom.fill('#draft-content', '[gate]\ntty = "/dev/null"');
    await tom.click('#draft button');
    await tom.waitForSelector('#release-said:not(.good) >> text=gate');
    await drafted('stamping until October', '[policy]\nstamp_required = true\n');
    await tom.click('#drafts summary');
    await tom.waitForSelector('#drafts .content >> text=stamp_required');
    await axe(tom, 'a proposed release'); await fits(tom, 'tablet, releases');
    holds(!await tom.locator('#drafts form').count(), 'the proposer may activate it');
  });
  await test('releases: another one activates them for a hall, in stages, to the end', async () => {
    await lea.waitForSelector('#drafts form');
    await activated('Departures, hall B (3)', '34, 100');
    await lea.waitForSelector('#rollouts [data-phase=done] >> text=3 of 3 lanes have it', { timeout: 25000 });
    same(await lea.locator('#rollouts progress').evaluateAll(l => l.map(p => p.value / p.max)), [1, 1], 'the stages');
    await lea.click('#rollouts summary');
    holds((await lea.textContent('#rollouts .happened')).includes('activated, by lea'), 'nobody can see who activated it');
    await axe(lea, 'a rollout'); await fits(lea, 'desk, releases');
  });
  await test('releases: a lane refuses, everything stops and rings until somebody sees to it', async () => {
    await drafted('copies of files', '[policy]\nees_offline = "extract"\n');
    await lea.waitForSelector('#drafts form');
    await activated('all for entry (4)', '25, 100');
    await lea.waitForSelector('#rollouts [data-phase=stopped] >> text=register.extract_key', { timeout: 25000 });
    for (const p of [tom, lea]) await p.waitForSelector('.alarm >> text=The rollout stopped');
    same(await lea.locator('#rollouts [data-phase=stopped] .come-to span:not(.dim)').last().textContent().then(t => t.split(', ').length), 3, 'lanes that were spared');
    await axe(lea, 'a stopped rollout'); await fits(tom, 'tablet, a stopped rollout');
    await tom.click('#tabs [data-view=lanes]');
    await tom.click('.alarm button.main');
    for (const p of [tom, lea]) await p.waitForFunction(() => !document.querySelector('.alarm'), null, { timeout: 10000 });
    await lea.waitForSelector('#rollouts >> text=tom sees to it');
    await lea.click('#rollouts [data-phase=stopped] >> text=A way back');
    await until('what the lanes had before', async () => await lea.inputValue('#draft-content') === '[policy]\nstamp_required = true\n');
    await lea.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' });
    await axe(lea, 'dark');
    await lea.setViewportSize({ width: 390, height: 844 });
    await fits(lea, 'phone, releases');
    for (const p of [tom, lea]) await p.context().close();
  });
}
