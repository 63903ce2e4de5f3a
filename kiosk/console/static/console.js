// The site's console: who is signed in, where they are, and what the lanes say.
// Everything is built as text nodes: no answer can become markup.
import { call, forget, signIn, signedIn } from './passkey.js';
import { pressed } from './case.js';
import { look, sit } from './chair.js';
import { ask } from './directory.js';
import { hangUp } from './intercom.js';
import { $, words } from './dom.js';
import { go, here, lanes, may, tell, watched } from './state.js';
import * as plan from './plan.js';
import * as alarms from './alarms.js';
import { alive, card, choose, leave, restoreWatch, watch } from './card.js';
import { figures } from './figures.js';
import * as release from './releases.js';
import { allCases, audit, staff } from './views.js';

let events = null, directory = null, signing = false;

// — Who —

async function begin() {
  const r = await call('GET', '/api/me');
  if (!r.ok) $('signin-said').textContent = r.said;
  $('site').textContent = r.data.site ?? 'Passage';
  document.title = `${r.data.site ?? 'Passage'} console`;
  $('training').hidden = !r.data.training;
  show('signin');
  directory = r.data.directory;
  ask(directory);
}

$('signin').onsubmit = async e => {
  e.preventDefault();
  if (signing) return;
  signing = true;
  $('signin-said').textContent = '';
  let r;
  try { r = await signIn($('officer').value.trim().toLowerCase()); } catch (x) { $('signin-said').textContent = x.name === 'NotAllowedError' ? 'The passkey was not used. Try again.' : x.message; return; } finally { signing = false; }
  if (!r.ok) { $('signin-said').textContent = r.said || 'The site does not answer.'; return; }
  here.me = r.data;
  document.body.dataset.signed = 'yes';
  $('me').hidden = $('tabs').hidden = false;
  $('me').firstElementChild.textContent = `${here.me.name} · ${words(here.me.role)}${here.me.narrowed ? ', as far as the directory lets' : ''}`;
  for (const b of $('tabs').children) b.hidden = !may(b.dataset.right);
  sit();
  restoreWatch();
  plan.build();
  listen();
  place();
};

$('signout').onclick = async () => {
  await hangUp();
  if (watched.size && signedIn()) await Promise.all([...watched].map(id => tell(id, { kind: 'absent' })));
  await call('POST', '/api/sign-out');
  lock('');
};

// lock forgets the session key and what was on the screen: what follows needs
// the passkey again.
function lock(why) {
  if (!here.me) return;
  events?.close();
  here.me = null;
  hangUp();
  leave();
  forget();
  lanes.clear(); watched.clear(); plan.clear(); alarms.clear(); release.clear();
  document.body.dataset.signed = 'no';
  $('me').hidden = $('tabs').hidden = true;
  for (const m of document.querySelectorAll('main[id]')) m.hidden = m.id !== 'signin-view';
  $('paper').replaceChildren(); $('paper').hidden = true;
  for (const id of ['settle', 'staff-said', 'settle-said']) $(id).replaceChildren();
  for (const b of document.querySelectorAll('tbody')) b.replaceChildren();
  for (const d of document.querySelectorAll('dialog[open]')) d.close();
  $('link').textContent = '';
  ask(directory && { name: directory.name }); // who comes next begins where the first one did
  $(directory ? 'directory-said' : 'signin-said').textContent = why;
}
const wasAway = 'You were away for a while: sign in again.';
document.addEventListener('signed-out', () => lock(wasAway));

const chair = () => look(here.me.idle_ms, () => call('POST', '/api/here'), () => { call('POST', '/api/sign-out'); lock(wasAway); });

// — Where —

function show(view) {
  for (const m of document.querySelectorAll('main[id]')) m.hidden = m.id !== view + '-view';
  for (const b of $('tabs').children) b.toggleAttribute('aria-current', b.dataset.view === view);
  ({ figures, audit, cases: allCases, staff, releases: release.releases })[view]?.();
}

// Where one is stands in the address, so that the browser's back goes to the
// view or the lane before, and never sends anything.
function place() {
  if (!here.me) return;
  const [view, lane] = decodeURIComponent(location.hash.slice(1)).split('/');
  const tab = [...$('tabs').children].find(b => b.dataset.view === view && may(b.dataset.right));
  show(tab ? view : 'lanes');
  if (view === 'lanes' && lane) { if (lane !== here.chosen) choose(lane); } else if (here.chosen && (!tab || view === 'lanes')) leave();
}
addEventListener('hashchange', place);
$('tabs').onclick = e => { if (e.target.dataset.view) go(e.target.dataset.view); };
$('skip').onclick = () => $('queue').focus();
$('keys').onclick = () => $('keyhelp').showModal();
$('find').oninput = plan.find;

addEventListener('keydown', e => {
  if (e.target.matches('input,select,textarea') || e.ctrlKey || e.metaKey || e.altKey || !here.me || document.querySelector('dialog[open]')) return;
  if (e.key.startsWith('Arrow') && e.target.matches('.tile')) { plan.step(e); return; }
  const b = pressed(e);
  if (b) { b.click(); return; }
  const view = { l: 'lanes', o: 'cases', s: 'staff', f: 'figures', r: 'releases', a: 'audit' }[e.key];
  if (view) $('tabs').querySelector(`[data-view=${view}]:not([hidden])`)?.click();
  if (e.key === 'n') $('cases').querySelector('button')?.click();
  if (e.key === 'e') $('alarms').querySelector('button.main')?.click();
  if (e.key === 'w' && here.chosen && may('attend')) watch(here.chosen, !watched.has(here.chosen));
  if (e.key === 'p') $('sheet')?.click();
  if (e.key === '?') $('keyhelp').showModal();
  if (e.key === 'Escape' && here.chosen) go('lanes');
  if (e.key === '/') { e.preventDefault(); go('lanes'); $('find').focus(); }
});

// — What the lanes say —

let heard = 0;
function listen() {
  events?.close();
  events = new EventSource('/api/events');
  events.onmessage = e => {
    heard = Date.now();
    const list = JSON.parse(e.data).lanes ?? [];
    let grown = false;
    for (const l of list) { grown ||= !lanes.has(l.id); lanes.set(l.id, l); plan.changed(l.id); }
    if (grown) plan.build();
    if (list.some(l => l.id === here.chosen)) card();
    line(true);
    plan.soon();
  };
  events.onerror = async () => {
    line(false);
    const r = await call('GET', '/api/me');
    if (r.ok && !r.data.officer) lock(wasAway);
  };
}
function line(good) {
  const text = good ? '' : 'No connection to the site. What you see is old.';
  if ($('link').textContent === text) return;
  $('link').textContent = text;
  $('link').classList.toggle('bad', !good);
}
plan.each(plan.summary, alarms.queue, alarms.bells);

setInterval(alive, 8000);
setInterval(async () => {
  if (!here.me) return;
  await release.look();
  if (!$('releases-view').hidden) release.releases();
}, 2000);
setInterval(() => {
  if (!here.me) return;
  chair();
  if (!here.me) return;
  alarms.queue(); alarms.bells(); alarms.remind();
  if (!$('staff-view').hidden) staff();
  for (const l of lanes.values()) if (l.away) plan.changed(l.id);
  plan.soon();
  if (heard && Date.now() - heard > 15000) line(false);
}, 1000);

if ('serviceWorker' in navigator) {
  const own = window.trustedTypes?.createPolicy('worker', { createScriptURL: u => u === '/sw.js' ? u : '' });
  navigator.serviceWorker.register(own ? own.createScriptURL('/sw.js') : '/sw.js').catch(() => { /* it only serves installing */ });
}
begin();
