// What the browser tests and the pictures share: a Chromium, played lanes
// (hwsim/cmd/stage), officers with virtual passkeys, and a small runner. Faces
// are drawn, lanes do as they are told; everything between is what ships.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';
import { AxeBuilder } from '@axe-core/playwright';

export const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--mute-audio', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', '--autoplay-policy=no-user-gesture-required', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });

// — A small runner —

let passed = 0;
const failures = [];
export async function test(name, body) {
  const began = Date.now();
  try { await body(); passed++; console.log(`ok    ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`); } catch (x) { failures.push(name); console.log(`FAIL  ${name}\n      ${String(x.message ?? x).split('\n').slice(0, 12).join('\n      ')}`); }
}
export function same(got, want, what) { if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`${what}: ${JSON.stringify(got)}, want ${JSON.stringify(want)}`); }
export function holds(is, what) { if (!is) throw new Error(what); }
export async function until(what, is, limit = 10000) {
  const end = Date.now() + limit;
  while (!await is()) { if (Date.now() > end) throw new Error(`not within ${limit / 1000} s: ${what}`); await new Promise(f => setTimeout(f, 25)); }
}

const errors = [];
// done ends browser and servers and says how many tests passed; it returns the
// exit code.
export async function done() {
  await test('no page reported an error', async () => same(errors, [], 'errors'));
  await end();
  if (failures.length) console.log('failed:\n  ' + failures.join('\n  '));
  console.log(`${passed} passed, ${failures.length} failed`);
  return failures.length ? 1 : 0;
}
export async function end() {
  await browser.close();
  await Promise.all(servers.map(s => { s.kill(); return s.ended; }));
}

// — What is tested —

const servers = [];
process.on('exit', () => servers.forEach(s => s.kill('SIGKILL')));

// serve starts a program and waits for the line that says that it serves.
export async function serve(ready, command, ...args) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] }), heard = [];
  child.ended = new Promise(f => child.once('close', f));
  servers.push(child);
  await new Promise((ok, bad) => {
    const late = setTimeout(() => bad(new Error(`${command} does not serve:\n${heard.join('\n')}`)), 30000);
    for (const out of [child.stdout, child.stderr]) createInterface({ input: out }).on('line', line => { heard.push(line); if (ready.test(line)) { clearTimeout(late); ok(); } });
    child.ended.then(code => bad(new Error(`${command} ended with ${code}:\n${heard.join('\n')}`)));
  });
  return child;
}

let next = +(process.env.PORT ?? 9480);
// stage starts played lanes: the pages of E1 at lane, the console at site; cue
// says to the player what comes next, scene what a lane shows, and said is what
// that lane was told.
export async function stage(...args) {
  const port = next;
  next += 100;
  await serve(/^stage: pages/, 'bin/stage', '--port', String(port), ...args);
  const cues = `http://localhost:${port + 1}`;
  const cue = async (path, body) => {
    const r = await fetch(cues + path, { method: 'POST', body: body && JSON.stringify(body) });
    if (!r.ok) throw new Error(`${path}: ${r.status} ${await r.text()}`);
    return r.text();
  };
  return { lane: `http://localhost:${port}`, site: `http://localhost:${port + 50}`, organised: `http://localhost:${port + 52}`, cue, scene: (lane, s) => cue('/scene/' + lane, s ?? {}), said: async lane => (await fetch(`${cues}/said/${lane}`)).json() };
}
let usual;
// theStage is the one that most parts share.
export const theStage = () => usual ??= stage();

export async function open(context, address) {
  const page = await context.newPage();
  watch(page, address);
  await page.goto(address, { waitUntil: 'domcontentloaded' });
  return page;
}
function watch(page, name) {
  page.on('pageerror', e => errors.push(`${name}: ${(e.stack || e.message).split('\n').slice(0, 4).join(' ')}`));
  page.on('console', m => { if (m.type() === 'error' && !/status of (40[0-9]|504)|ERR_INTERNET_DISCONNECTED|ERR_FAILED|Failed to load resource/.test(m.text())) errors.push(`${name}: ${m.text()}`); });
}
export const context = (width, height, more) => browser.newContext({ viewport: { width, height }, reducedMotion: 'reduce', ...more });

// — What every page must hold —

// overflow lists what does not fit: the page wider than the window, and text
// that its box cuts off.
const overflow = page => page.evaluate(() => {
  const out = [], room = document.documentElement;
  if (room.scrollWidth > innerWidth) out.push(`the page is ${room.scrollWidth} wide in ${innerWidth}`);
  for (const e of document.querySelectorAll('h1,h2,h3,p,button,span,label,td,th,a,li')) {
    if (!e.checkVisibility({ visibilityProperty: true }) || e.closest('.scroll, .skip, [aria-hidden=true], .tile') || getComputedStyle(e).clipPath !== 'none') continue;
    const r = e.getBoundingClientRect();
    if (r.width && (r.left < -1 || r.right > innerWidth + 1)) out.push(`${e.id || e.tagName} "${e.textContent.trim().slice(0, 30)}" reaches from ${Math.round(r.left)} to ${Math.round(r.right)} in ${innerWidth}`);
    else if (getComputedStyle(e).display !== 'inline' && e.scrollWidth > e.clientWidth + 1) out.push(`${e.id || e.tagName} "${e.textContent.trim().slice(0, 30)}" is ${e.scrollWidth} wide in ${e.clientWidth}`);
  }
  if (/undefined|null|NaN|\{\w+\}/.test(document.body.innerText)) out.push('a hole in the text: ' + /.{0,20}(undefined|null|NaN|\{\w+\}).{0,20}/.exec(document.body.innerText)[0]);
  return out;
});
export async function fits(page, where) { const bad = await overflow(page); holds(!bad.length, `${where}: ${bad.slice(0, 4).join('; ')}`); }

export async function axe(page, where) {
  const { violations } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']).analyze();
  holds(!violations.length, `${where}: ` + violations.map(v => `${v.id} (${v.nodes.length}): ${v.nodes[0].target} ${v.nodes[0].failureSummary?.split('\n').slice(1, 3).join(' ')}`).join('\n'));
}

// — Officers —

// desk is a browser of an officer's own, with a virtual authenticator.
export async function desk(id, width = 1440, height = 1000, more) {
  const page = await (await context(width, height, more)).newPage();
  watch(page, id);
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('WebAuthn.enable');
  await cdp.send('WebAuthn.addVirtualAuthenticator', { options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true } });
  return page;
}
// enlist registers an officer with a passkey at their desk.
export async function enlist({ cue }, id, name, role, ...more) {
  const page = await desk(id, ...more);
  await page.goto(await cue(`/officer?id=${id}&name=${encodeURIComponent(name)}&role=${role}`));
  await page.click('#register button');
  await page.waitForSelector('#said.good');
  return page;
}
export async function signIn(page, id, { site }) {
  await page.goto(site + '/');
  await page.waitForSelector('#signin-view:not([hidden])');
  await page.fill('#officer', id);
  await page.click('#signin button.main');
  await page.waitForSelector('body[data-signed=yes]');
  await page.waitForSelector('.tile');
}
export async function attend(page, lane) {
  await page.click(`#tabs [data-view=lanes]`);
  await page.click(`[data-lane=${lane}]`);
  await page.click('#card >> text=Watch this lane');
  // By the lane's own word: it has proven the officer's.
  await page.waitForSelector('#card >> text=Watched by');
}

// review is a traveller whom an officer looks at.
export const review = { phase: 'REVIEW', class: 'TCN_LISTED', reason: 'FACE', issuer: 'GBR', given: 'OLIVIA', surname: 'SAMPLE', shown: 48, pad: '0.08', days: 60, last_day: new Date(Date.now() + 59 * 86400e3).toISOString().slice(0, 10) };
