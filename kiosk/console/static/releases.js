// Configuration and trust material for the lanes: what there is, who proposed it,
// how far it has come, and what stopped it. What is signed is computed here from
// the bytes that the lanes will get, whatever the server says about them.
import { $, byNumber, clock, el, words } from './dom.js';
import { b64, bytes, call, hex, sha256, unb64, utf8 } from './passkey.js';
import { here, lanes, may, tellSite } from './state.js';

const text = b => new TextDecoder().decode(b);
const when = s => new Date(s * 1000).toLocaleString('en-GB', { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', second: '2-digit' });
const span = s => s % 3600 === 0 && s ? `${s / 3600} h` : s % 60 === 0 && s ? `${s / 60} min` : `${s} s`;
const named = r => `${words(r.kind)} ${r.number}`;
const short = (list, most = 12) => list.length > most ? `${list.slice(0, most).join(', ')} and ${list.length - most} more` : list.join(', ');

// word signs a word for the site and sends it.
const word = (w, touched, plan) => tellSite('/api/releases/word', w, touched, { plan });
function told(r, good) {
  $('release-said').className = r.ok ? 'said good' : 'said';
  $('release-said').textContent = r.ok ? good : r.said || 'The site does not answer.';
  return r.ok;
}
const button = (label, className, act) => {
  const b = el('button', { type: 'button', textContent: label, className });
  b.onclick = async () => { b.disabled = true; try { await act(); } finally { b.disabled = false; } };
  return b;
};

let now = null; // what the site said last

export async function releases() {
  const r = await call('GET', '/api/releases');
  if (!r.ok) return;
  now = r.data;
  draw('rollouts', [now.rollouts, now.lanes], () => now.rollouts.map(rollout));
  const open = now.releases.filter(x => !now.rollouts.some(o => o.release.digest === x.digest));
  draw('drafts', open.map(x => [x.digest, x.proposer]), () => open.map(x => x.proposer ? proposed(x) : draft(x)));
  $('no-releases').hidden = now.rollouts.length + open.length > 0;
}
// draw makes a list anew where something in it has changed: what is being typed
// elsewhere stays.
function draw(id, key, make) {
  key = JSON.stringify(key);
  if ($(id).dataset.key === key) return;
  const open = new Set([...$(id).querySelectorAll('details[open]')].map(d => d.dataset.of));
  $(id).replaceChildren(...make());
  for (const d of $(id).querySelectorAll('details')) d.open = open.has(d.dataset.of);
  $(id).dataset.key = key;
}

// — What is under way —

const tones = { running: 'good', done: 'good', paused: 'mid', stopped: 'bad' };

function rollout(x) {
  const s = x.state, p = x.plan, r = x.release, taken = s.lanes.filter(l => l.taken).length;
  const card = el('li', { className: 'release' }, el('div', { className: 'row' }, el('h3', { textContent: `${named(r)}: ${r.name}` }), el('span', { className: 'state', textContent: s.phase })));
  card.dataset.phase = s.phase;
  card.querySelector('.state').dataset.tone = tones[s.phase];
  if (s.why) card.append(el('p', { className: s.alarm ? 'why' : 'note', textContent: `${s.alarm ? 'It stopped by itself: ' : ''}${s.why}` }));
  card.append(el('p', { className: 'note', textContent: `${taken} of ${p.lanes.length} lanes have it. Proposed by ${r.proposer}, activated by ${s.activated}${r.back ? `; a way back to ${r.back}` : ''}.` }));
  card.append(el('ol', { className: 'stages' }, p.stages.map((share, i) => stage(x, share, i))));
  if (s.waits) card.append(el('p', { className: 'note', textContent: `Next: ${s.waits}.` }));
  card.append(el('ul', { className: 'come-to' }, groups(x).map(([what, list]) => el('li', {}, el('b', { textContent: `${what.split(':')[0]} (${list.length})` }), ' ', el('span', { textContent: short(list.sort(byNumber)) }), el('span', { className: 'dim', textContent: what.includes(':') ? what.slice(what.indexOf(':')) : '' })))));
  const past = el('details', {}, el('summary', { textContent: 'What happened' }), el('ul', { className: 'happened' }, s.events.toReversed().map(e => el('li', {}, el('time', { textContent: when(e.at) }), ` ${[e.what, e.by && `by ${e.by}`, e.why].filter(Boolean).join(', ')}`))));
  past.dataset.of = x.digest;
  const say = orders(x);
  card.append(past, ...say.length ? [el('div', { className: 'row' }, say)] : []);
  return card;
}

// A stage's lanes are those that come to the ones before it.
const upto = (p, i) => Math.max(1, Math.floor(p.lanes.length * p.stages[i] / 100));
function stage(x, share, i) {
  const { plan: p, state: s } = x, from = i ? upto(p, i - 1) : 0, to = upto(p, i), has = s.lanes.slice(from, to).filter(l => l.taken).length;
  const bar = el('progress', { max: Math.max(1, to - from), value: has }), line = el('li', {}, el('span', { textContent: `${share} %` }), bar, el('span', { textContent: `${has} of ${to - from}` }));
  bar.ariaLabel = `stage ${i + 1} of ${named(x.release)}: ${has} of ${to - from} lanes have it`;
  if (i === s.stage) line.ariaCurrent = 'step';
  if (i === s.stage && s.phase === 'running' && s.soak) line.append(el('span', { className: 'note', textContent: `watched since ${clock(s.soak * 1000)}, for ${span(p.soak)}` }));
  return line;
}

// groups are the plan's lanes by what they have come to.
function groups({ plan: p, state: s }) {
  const by = new Map(), put = (what, id) => by.set(what, [...by.get(what) ?? [], id]), given = new Set(s.lanes.map(l => l.id));
  for (const l of s.lanes) put(l.refused ? `refuse: ${l.refused}` : l.bad ? (l.taken ? 'have it, and are silent or broken' : 'silent or broken') : l.taken ? 'have it' : l.waits ? l.waits.replace(/^\d+ of \d+ bytes$/, 'load it') : 'were told', l.id);
  for (const id of p.lanes) if (!given.has(id)) put('not yet', id);
  return [...by];
}

function orders(x) {
  const s = x.state, list = [], order = (label, value, className, touched) => list.push(button(label, className, async () => {
    if (told(await word({ kind: 'rollout', transaction: x.digest, value, text: $('release-why').value }, touched), `${label}: done.`)) { $('release-why').value = ''; $('rollouts').dataset.key = ''; }
    releases();
  }));
  if (s.alarm && !s.seen) order('I see to it', 'acknowledge', 'main');
  if (s.phase === 'running') order('Pause', 'pause', '');
  if (s.phase === 'running' || s.phase === 'paused') order('Stop', 'stop', 'danger');
  const newest = now.rollouts.find(o => o.release.kind === x.release.kind) === x;
  if (newest && may('configure') && (s.phase === 'paused' || s.phase === 'stopped' && (!s.alarm || s.seen))) order('Resume, with my passkey', 'resume', '', true);
  if (newest && ['stopped', 'done'].includes(s.phase)) list.push(button('A way back', '', () => back(x)));
  if (s.seen) list.push(el('span', { className: 'note', textContent: `${s.seen} sees to it.` }));
  return list;
}

// back puts the content of what the lanes had before into the form: a release of
// its own, which two officers sign.
async function back(x) {
  if (x.release.kind === 'trust') { told({ ok: false, said: 'Trust goes back by an activation of the earlier version: passage trust activate, then consoled rollout put --trust.' }); return; }
  const before = now.rollouts.find(o => o.release.kind === x.release.kind && o.release.number < x.release.number && o.state.phase === 'done');
  $('draft').elements.name.value = before ? `back to ${before.release.number}: ${before.release.name}`.slice(0, 80) : 'back to each lane’s own values';
  const had = before && await content(before.release.sha256);
  if (before && !had) { told({ ok: false, said: 'The site does not give what the lanes had before.' }); return; }
  $('draft').elements.content.value = before ? text(had) : '';
  $('make').open = true;
  $('draft').elements.name.focus();
}
// content is what a release says, or null: what does not bear its digest is not
// shown, and not signed.
async function content(sha) {
  const { ok, raw } = await bytes('/api/releases/content/' + sha);
  return ok && hex(await sha256(raw)) === sha ? raw : null;
}

// — What waits for a signature —

const signed = r => JSON.parse(text(unb64(r.body))); // what the lanes will read
const about = r => el('p', { className: 'note', textContent: `${r.size} bytes, SHA-256 ${r.sha256.slice(0, 16)}…${r.back ? `, the content of ${r.back} again` : ''}` });

function says(r) {
  const box = el('details', {}, el('summary', { textContent: 'What it says' }), el('pre', { className: 'content', tabIndex: 0 }));
  box.dataset.of = 'content ' + r.sha256;
  box.ontoggle = async () => {
    if (!box.open) return;
    const b = await content(r.sha256);
    box.lastElementChild.textContent = b ? text(b) || '# nothing: each lane’s own values count' : 'The site does not give what would be signed. Do not sign.';
  };
  return r.kind === 'configuration' ? box : null;
}

function draft(x) {
  const r = signed(x), li = el('li', { className: 'release' }, el('div', { className: 'row' }, el('h3', { textContent: `${named(r)}: ${r.name}` }), el('span', { className: 'state', textContent: 'draft' })), about(r), says(r));
  li.append(el('div', { className: 'row' }, button('Propose, with my passkey', 'main', async () => {
    const digest = hex(await sha256(unb64(x.body)));
    told(await word({ kind: 'propose', value: digest, text: $('release-why').value }, true), `Proposed. Somebody else activates it.`);
    releases();
  })));
  return li;
}

// choices are the ways to say which lanes.
function choices() {
  const all = [...lanes.keys()].filter(id => !id.includes('.')).sort(byNumber), list = [['all lanes', all]];
  for (const way of ['entry', 'exit']) list.push([`all for ${way}`, all.filter(id => lanes.get(id).view?.direction === way)]);
  for (const a of here.me.plan.areas ?? []) list.push([a.name, all.filter(id => a.lanes.includes(id))]);
  return list.filter(([, ids]) => ids.length);
}

function proposed(x) {
  const r = signed(x), mine = x.proposer === here.me.officer, li = el('li', { className: 'release' }, el('div', { className: 'row' }, el('h3', { textContent: `${named(r)}: ${r.name}` }), el('span', { className: 'state', textContent: 'proposed' })));
  li.append(about(r), el('p', { className: 'note', textContent: `Proposed by ${x.proposer}${x.why ? `: ${x.why}` : ''}.` }), says(r) ?? '');
  if (mine || !may('configure')) { li.append(el('p', { className: 'note', textContent: 'Another supervisor activates it.' })); return li; }
  const options = choices(), which = el('select', { name: 'which' }, options.map(([n, ids], i) => el('option', { value: i, textContent: `${n} (${ids.length})` })), el('option', { value: 'list', textContent: 'these:' }));
  const field = (label, input) => el('label', {}, `${label} `, input), number = (name, value, max, more) => el('input', { type: 'number', name, value, min: 0, max, required: true, ...more });
  const these = el('input', { name: 'these', placeholder: 'E1, E2', size: 12 }), limits = now.limits, l = {};
  for (const [name, label, max] of [['refused', 'lanes that refuse it, %', 100], ['broken', 'lanes that fall silent or out of service, %', 100], ['diverted', 'more travellers diverted, points', 100], ['alarms', 'more attack alarms, points', 100], ['slower', 'crossings that take longer, %', 1000], ['crossings', 'crossings before the next stage', 1e6]]) l[name] = [label, number(name, limits[name], max)];
  const stop = el('details', {}, el('summary', { textContent: 'What stops it' }), el('div', { className: 'limits' }, Object.values(l).map(([label, input]) => field(label, input))));
  stop.dataset.of = 'limits ' + x.digest;
  const form = el('form', {}, el('div', { className: 'row' }, field('For', which), field('', these), field('in stages of %', el('input', { name: 'stages', value: '5, 25, 100', size: 9, required: true, pattern: '[\\d ,]+' })), field('each watched for minutes', number('soak', 60, 10080))), stop, el('div', { className: 'row' }, el('button', { className: 'main', textContent: 'Activate, with my passkey' })));
  these.ariaLabel = 'lanes';
  these.hidden = true;
  which.onchange = () => { these.hidden = which.value !== 'list'; };
  form.onsubmit = async e => {
    e.preventDefault();
    const f = Object.fromEntries(new FormData(form)), at = Math.floor(Date.now() / 1000), stages = f.stages.split(',').map(Number), soak = f.soak * 60;
    const ids = which.value === 'list' ? f.these.split(/[\s,]+/).filter(Boolean) : options[which.value][1];
    const plan = utf8(JSON.stringify({
      release: hex(await sha256(unb64(x.body))), lanes: [...new Set(ids)].sort((a, b) => a < b ? -1 : 1), stages, soak, from: at, until: at + Math.min(90 * 86400, 14 * 86400 + soak * stages.length),
      limits: Object.fromEntries(Object.keys(l).map(k => [k, Number(f[k])])),
    }));
    told(await word({ kind: 'activate', value: hex(await sha256(plan)), text: $('release-why').value }, true, b64(plan)), 'Activated.');
    releases();
  };
  li.append(form);
  return li;
}

$('draft').onsubmit = async e => {
  e.preventDefault();
  const f = e.target.elements, r = await call('POST', '/api/releases/draft', { name: f.name.value, content: f.content.value });
  if (told(r, 'Drafted. Look at it once more, then propose it.')) { e.target.reset(); $('make').open = false; }
  releases();
};

// stopped are the rollouts that stopped by themselves, for the alarms that stay
// on every view.
export let stopped = [];
export async function look() {
  if (!may('prepare')) return;
  const r = await call('GET', '/api/releases/stopped');
  if (r.ok) stopped = r.data;
}
export const seen = id => word({ kind: 'rollout', transaction: id, value: 'acknowledge' });

export function clear() {
  now = null; stopped = [];
  for (const id of ['rollouts', 'drafts']) { $(id).replaceChildren(); $(id).dataset.key = ''; }
  $('draft').reset(); $('release-why').value = ''; $('release-said').textContent = '';
}
