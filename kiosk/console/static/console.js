// The site's console: all lanes live, the cases that wait by age, one decision
// at a time. Everything is built as text nodes: no answer can become markup.
import { b64, call, forget, hex, say as sign, sha256, signIn, signedIn } from './passkey.js';
import { paper } from './paper.js';
import { alarms, alerts, codes, fitting, orders, reasons, say as means, tones, whys } from './words.js';

const $ = id => document.getElementById(id);
const el = (tag, props = {}, ...children) => { const e = Object.assign(document.createElement(tag), props); e.append(...children.filter(c => c != null)); return e; };
const shape = (tag, attributes, ...children) => { const e = document.createElementNS('http://www.w3.org/2000/svg', tag); for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v); e.append(...children); return e; };
const words = s => (s ?? '').replaceAll('_', ' ').toLowerCase();
const clock = ms => new Date(ms).toLocaleTimeString();
const ago = ms => { const s = Math.max(0, Math.round((Date.now() - ms) / 1000)); return s < 90 ? `${s} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`; };

let me = null, chosen = null, events = null;
const lanes = new Map(); // id → { id, seen, away, view }
const tiles = new Map(); // id → element
const watched = new Set(); // lanes that I am answerable for

// — Sign-in —

async function begin() {
  const r = await call('GET', '/api/me');
  $('site').textContent = r.data.site ?? 'Passage';
  document.title = `${r.data.site ?? 'Passage'} console`;
  $('training').hidden = !r.data.training;
  show('signin');
  $('officer').focus();
}

$('signin').onsubmit = async e => {
  e.preventDefault();
  $('signin-said').textContent = '';
  let r;
  try { r = await signIn($('officer').value.trim().toLowerCase()); } catch (x) { $('signin-said').textContent = x.name === 'NotAllowedError' ? 'The passkey was not used. Try again.' : x.message; return; }
  if (!r.ok) { $('signin-said').textContent = r.said || 'The site does not answer.'; return; }
  me = r.data;
  document.body.dataset.signed = 'yes';
  $('me').hidden = $('tabs').hidden = false;
  $('me').firstElementChild.textContent = `${me.name} · ${words(me.role)}`;
  for (const b of $('tabs').children) b.hidden = b.dataset.right && !me.rights.includes(b.dataset.right);
  restoreWatch();
  plan();
  listen();
  place();
};

$('signout').onclick = async () => {
  if (watched.size && signedIn()) await Promise.all([...watched].map(id => tell(id, { kind: 'absent' })));
  await call('POST', '/api/sign-out');
  lock('');
};

// lock forgets the session key: what follows needs the passkey again.
function lock(why) {
  events?.close();
  me = null; chosen = null;
  forget();
  lanes.clear(); tiles.clear(); watched.clear(); stale.clear(); inSight.clear(); sight.disconnect();
  document.body.dataset.signed = 'no';
  $('me').hidden = $('tabs').hidden = true;
  for (const m of document.querySelectorAll('main[id]')) m.hidden = m.id !== 'signin-view';
  $('card').replaceChildren(); $('card').hidden = true;
  $('paper').replaceChildren();
  for (const d of document.querySelectorAll('dialog[open]')) d.close();
  $('signin-said').textContent = why;
  $('link').textContent = '';
}

function show(view) {
  for (const m of document.querySelectorAll('main[id]')) m.hidden = m.id !== view + '-view';
  for (const b of $('tabs').children) b.toggleAttribute('aria-current', b.dataset.view === view);
  if (view === 'figures') figures();
  if (view === 'audit') audit();
  if (view === 'cases') allCases();
  if (view === 'staff') staff();
}

// Where one is stands in the address, so that the browser's back goes to the
// view or the lane before, and never sends anything.
const may_ = right => !right || me.rights.includes(right);
function place() {
  if (!me) return;
  const [view, lane] = decodeURIComponent(location.hash.slice(1)).split('/');
  const tab = [...$('tabs').children].find(b => b.dataset.view === view && may_(b.dataset.right));
  show(tab ? view : 'lanes');
  if (view === 'lanes' && lane) { if (lane !== chosen) choose(lane); } else if (chosen && (!tab || view === 'lanes')) leave();
}
const go = (view, lane) => { location.hash = view + (lane ? '/' + encodeURIComponent(lane) : ''); };
addEventListener('hashchange', place);
$('tabs').onclick = e => { if (e.target.dataset.view) go(e.target.dataset.view); };
$('skip').onclick = () => $('queue').focus();
$('keys').onclick = () => $('keyhelp').showModal();

// — What lanes look like —

let heard = 0;
function listen() {
  events?.close();
  events = new EventSource('/api/events');
  events.onmessage = e => {
    heard = Date.now();
    const { lanes: list } = JSON.parse(e.data);
    let grown = false;
    for (const l of list ?? []) { grown ||= !lanes.has(l.id); lanes.set(l.id, l); if (inSight.has(l.id)) stale.add(l.id); }
    if (grown) plan();
    if (chosen && (list ?? []).some(l => l.id === chosen)) card();
    line(true);
    soon();
  };
  events.onerror = async () => {
    line(false);
    const r = await call('GET', '/api/me').catch(() => null);
    if (r && r.ok && !r.data.officer) lock('You were away for a while: sign in again.');
  };
}
// A thousand lanes change faster than anybody reads. Tiles that nobody sees are
// left, the others are drawn in slices, and what counts over all lanes follows
// four times a second, each in a task of its own: the page stays quick to touch.
const inSight = new Set(), stale = new Set(), slice = 3; // ms
const sight = new IntersectionObserver(list => {
  for (const { target, isIntersecting } of list) {
    const id = target.dataset.lane;
    if (!isIntersecting) { inSight.delete(id); continue; }
    inSight.add(id); stale.add(id);
  }
  soon();
}, { rootMargin: '200px' });
const rounds = [() => summary(), () => queue(), () => bells()];
let drawing = false, counted = 0;
function soon() { if (!drawing) { drawing = true; setTimeout(draw); } }
function draw() {
  const end = performance.now() + slice;
  for (const id of stale) {
    stale.delete(id);
    if (me && tiles.has(id)) tile(lanes.get(id) ?? { id, away: true });
    if (performance.now() > end) { setTimeout(draw); return; }
  }
  drawing = false;
  if (!me || Date.now() - counted < 250) { if (!draw.later) draw.later = setTimeout(() => { draw.later = 0; soon(); }, 250); return; }
  counted = Date.now();
  for (const r of rounds) setTimeout(() => { if (me) r(); });
}

function line(good) {
  $('link').textContent = good ? '' : 'No connection to the site. What you see is old.';
  $('link').classList.toggle('bad', !good);
}

// state is what a lane shows: a lane that is not heard is never fine.
const state = l => l.away || !l.view ? 'NOT_SEEN' : l.view.state;
const tone = l => state(l) === 'NOT_SEEN' ? 'lost' : tones[state(l)] ?? '';

function plan() {
  const placed = new Set(me.plan.areas?.flatMap(a => a.lanes) ?? []);
  const rest = [...lanes.keys()].filter(id => !placed.has(id)).sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  const areas = [...(me.plan.areas ?? [])];
  if (rest.length) areas.push({ name: areas.length ? 'Elsewhere' : 'All lanes', lanes: rest });
  $('areas').replaceChildren(...areas.map(a => el('section', { className: 'area' }, el('h3', { textContent: a.name }), el('div', { className: 'tiles' }, ...a.lanes.map(newTile)))));
  sight.disconnect(); inSight.clear();
  for (const [id, t] of tiles) { sight.observe(t); t.setAttribute('aria-label', 'lane ' + id); }
}

function newTile(id) {
  const b = el('button', { className: 'tile', type: 'button' }, el('b', { textContent: id }), el('span', { className: 'what' }), el('span', { className: 'sub' }), el('i', { className: 'bar' }));
  b.dataset.lane = id;
  b.onclick = () => go('lanes', id);
  tiles.set(id, b);
  return b;
}

function tile(l) {
  const t = tiles.get(l.id);
  if (!t) return;
  const v = l.view, waiting = v?.under?.review && !l.away;
  const sub = l.away ? (l.seen ? `not seen for ${ago(l.seen)}` : 'never seen') : v.under ? `${words(v.under.class)}${v.under.reason ? ' · ' + v.under.reason : ''}` : (v.devices ?? []).filter(d => !d.ok).map(d => d.name).join(', ');
  const key = [tone(l), state(l), sub, waiting, (v?.alerts ?? []).filter(a => !a.by).length, watched.has(l.id), l.id === chosen].join('|');
  if (t.dataset.key === key) return;
  t.dataset.key = key;
  t.dataset.tone = tone(l);
  t.children[1].textContent = words(state(l));
  t.children[2].textContent = sub;
  t.classList.toggle('waits', !!waiting);
  t.classList.toggle('rings', !l.away && (v?.alerts ?? []).some(a => !a.by));
  t.classList.toggle('mine', watched.has(l.id));
  t.setAttribute('aria-pressed', l.id === chosen);
  t.setAttribute('aria-label', `lane ${l.id}: ${words(state(l))}${sub ? ', ' + sub : ''}`);
}

function summary() {
  const n = { open: 0, busy: 0, call: 0, closed: 0, lost: 0 };
  for (const l of lanes.values()) {
    const s = state(l);
    n[s === 'NOT_SEEN' ? 'lost' : s === 'IDLE' ? 'open' : s === 'OUT_OF_SERVICE' ? 'closed' : tones[s] ? 'call' : 'busy']++;
  }
  $('sums').replaceChildren(...[['good', n.open, 'open'], ['', n.busy, 'in use'], ['mid', n.call, 'need somebody'], ['bad', n.closed, 'closed'], ['lost', n.lost, 'not seen']].filter(([, x]) => x).map(([t, x, text]) => { const e = el('span', { className: 'sum', textContent: `${x} ${text}` }); e.dataset.tone = t; return e; }));
  $('watching').textContent = me.rights.includes('attend') ? (watched.size ? `You watch ${watched.size} of at most ${me.ratio}.` : 'You watch no lane yet: choose one.') : '';
}

$('find').oninput = e => {
  const want = e.target.value.trim().toLowerCase();
  for (const [id, t] of tiles) t.hidden = want && !id.toLowerCase().includes(want) && !t.textContent.toLowerCase().includes(want);
};

// — Cases that wait, oldest first —

const waits = l => !l.away && l.view && (l.view.under?.review || ['HOLD', 'MULTI', 'LUGGAGE'].includes(l.view.state));

function queue() {
  const list = [...lanes.values()].filter(waits).sort((a, b) => (b.view.under?.review ? 1 : 0) - (a.view.under?.review ? 1 : 0) || a.view.since - b.view.since);
  const key = JSON.stringify(list.map(l => [l.id, l.view.state, l.view.under?.reason, chosen === l.id]));
  $('waiting').textContent = list.length || '';
  $('no-cases').hidden = list.length > 0;
  if (key !== queue.key) {
    queue.key = key;
    $('cases').replaceChildren(...list.map(l => {
      const b = el('button', { type: 'button', className: 'case' }, el('b', { textContent: l.id }), el('span', { textContent: l.view.under?.review ? whys[l.view.under.reason] ?? 'A decision' : means[l.view.state] }), el('time', {}));
      b.setAttribute('aria-pressed', chosen === l.id);
      b.onclick = () => go('lanes', l.id);
      b.dataset.since = l.view.since;
      return el('li', {}, b);
    }));
  }
  for (const b of $('cases').querySelectorAll('button')) b.lastElementChild.textContent = ago(+b.dataset.since);
}

// — Alarms: they stay until somebody has said that they see to it —

const answerBy = 30000; // ms, after which an alarm is everybody's
const unanswered = () => [...lanes.values()].filter(l => !l.away).flatMap(l => (l.view?.alerts ?? []).filter(a => !a.by).map(a => ({ ...a, lane: l.id }))).sort((a, b) => a.at - b.at);

function bells() {
  const list = unanswered(), key = JSON.stringify(list);
  if (key === bells.key) return;
  if (list.length > (bells.count ?? 0)) ring();
  bells.key = key; bells.count = list.length;
  document.title = (list.length ? `(${list.length}) ` : '') + `${me.site} console`;
  $('alarms').replaceChildren(...list.slice(0, 5).map(a => {
    const show = el('button', { type: 'button', textContent: 'Show' }), mine = el('button', { type: 'button', className: 'main', textContent: a.kind === 'help' ? 'I answer' : 'I see to it' });
    show.onclick = () => go('lanes', a.lane);
    mine.onclick = async () => { mine.disabled = true; go('lanes', a.lane); said(await tell(a.lane, { kind: 'acknowledge', value: String(a.id) })); mine.disabled = false; };
    const row = el('div', { className: 'alarm' }, el('b', { textContent: a.lane }), el('span', { textContent: a.kind === 'help' ? 'A traveller calls for help: answer by the lane’s voice link' : alerts[a.kind] ?? words(a.kind) }), el('time', { textContent: clock(a.at) }), el('em', {}), show, me.rights.includes('attend') ? mine : null);
    row.dataset.at = a.at;
    return row;
  }), list.length > 5 ? el('div', { className: 'alarm', textContent: `and ${list.length - 5} more` }) : '');
}

// An alarm rings again until somebody answers; after half a minute it says so.
function remind() {
  const list = unanswered();
  if (list.length && Math.round(Date.now() / 1000) % 6 === 0) ring();
  for (const row of $('alarms').querySelectorAll('[data-at]')) {
    const late = Date.now() - row.dataset.at > answerBy;
    row.classList.toggle('late', late);
    row.querySelector('em').textContent = late ? `nobody has answered for ${ago(+row.dataset.at)}` : '';
  }
}

let sound = null;
function ring() {
  if (!navigator.userActivation?.hasBeenActive) return;
  try {
    sound ??= new AudioContext();
    const o = sound.createOscillator(), g = sound.createGain(), t = sound.currentTime;
    o.frequency.setValueAtTime(880, t); o.frequency.setValueAtTime(660, t + .18);
    g.gain.setValueAtTime(.2, t); g.gain.exponentialRampToValueAtTime(.001, t + .45);
    o.connect(g).connect(sound.destination); o.start(t); o.stop(t + .5);
  } catch { /* a browser without sound: the alarm is on the screen */ }
}

// — One lane —

function choose(id) {
  const old = chosen;
  chosen = id;
  shown = null;
  for (const x of [old, id]) if (x && lanes.has(x)) tile(lanes.get(x));
  queue.key = '';
  queue();
  $('card').hidden = false;
  card();
  if (matchMedia('(max-width: 999px)').matches) $('card').scrollIntoView({ block: 'start' });
}

function leave() {
  const id = chosen;
  chosen = null; shown = null; loads++;
  $('card').hidden = true;
  queue.key = '';
  queue();
  if (lanes.has(id)) tile(lanes.get(id));
}

let shown = null, loads = 0;

async function card() {
  const l = lanes.get(chosen) ?? { id: chosen, away: true };
  const v = l.view;
  const key = JSON.stringify([l.id, l.away, v?.state, v?.gate?.alarms, v?.gate?.faults, v?.gate?.occupied, v?.gate?.state, v?.closed, v?.officers, v?.devices, watched.has(l.id), v?.under, v?.banners, v?.alerts]);
  if (key === shown) return;
  const fresh = !shown || JSON.parse(shown)[0] !== l.id;
  shown = key;
  const head = el('div', { className: 'row head' }, el('h2', { textContent: `Lane ${l.id}` }), state_(l), el('button', { type: 'button', className: 'close', ariaLabel: 'close', textContent: '×', onclick: () => go('lanes') }));
  if (l.away) {
    $('card').replaceChildren(head, el('p', { className: 'why', textContent: l.seen ? `This lane has not been seen since ${clock(l.seen)}. Nothing is known of it: go there, or call.` : 'This lane has never been seen. Is its computer enrolled and running?' }));
    return;
  }
  const kids = [head, el('p', { className: 'meaning', textContent: v.closed && v.state === 'OUT_OF_SERVICE' ? 'Closed by an officer.' : means[v.state] ?? '' })];
  const answered = (v.alerts ?? []).filter(a => a.by);
  if (answered.length) kids.push(el('p', { className: 'seen', textContent: answered.map(a => `${alerts[a.kind] ?? words(a.kind)}: ${a.by} sees to it`).join(' · ') }));
  for (const b of v.banners ?? []) kids.push(el('p', { className: 'banner', textContent: b }));
  kids.push(picture(v), el('div', { className: 'orders' }, ...orderButtons(l)), el('output', { className: 'said', id: 'card-said' }));
  const box = el('div', { id: 'case-box' });
  if (!fresh && $('case-box')) { box.dataset.seen = $('case-box').dataset.seen ?? ''; box.replaceChildren(...$('case-box').childNodes); }
  kids.push(box);
  kids.push(el('p', { className: 'devices' }, ...(v.devices ?? []).map(d => el('span', { className: d.ok ? 'device' : 'device bad', textContent: `${d.ok ? '✓' : '✗'} ${d.name}${d.why ? ': ' + d.why.replace(/^(camera|matcher): /, '') : ''}` }))));
  kids.push(el('p', { className: 'note', textContent: (v.officers ?? []).length ? 'Watched by ' + v.officers.join(', ') : 'Nobody watches this lane: it stays closed.' }));
  const past = el('details', { id: 'past' }, el('summary', { textContent: 'Last crossings' }), el('div', {}));
  past.ontoggle = () => past.open && recent(l.id, past.lastElementChild);
  if (me.rights.includes('settle_case')) kids.push(el('div', { id: 'open-cases' }));
  kids.push(past);
  // What was said last stays until something else is said.
  const before = fresh ? null : $('card-said');
  $('card').replaceChildren(...kids);
  if (before) { $('card-said').className = before.className; $('card-said').textContent = before.textContent; }
  if (v.under && me.rights.includes('see_case')) await loadCase(l);
  else box.replaceChildren(v.under ? el('p', { className: 'note', textContent: `Under way: ${words(v.under.class)}${v.under.reason ? ', ' + v.under.reason : ''}.` }) : '');
  if (me.rights.includes('settle_case')) openCases(l.id);
}

const state_ = l => { const e = el('span', { className: 'state', textContent: words(state(l)) }); e.dataset.tone = tone(l); return e; };

// picture is the lane from above.
function picture(v) {
  const g = v.gate, leaf = (x, open) => shape('rect', { x, y: 20 + 71 * .85 * open / 100, width: 8, height: 142 * (1 - .85 * open / 100) / 1, rx: 2, class: open > 0 ? 'leaf open' : 'leaf' });
  const n = g.occupied ? Math.min(4, Math.max(1, g.persons)) : 0;
  return shape('svg', { viewBox: '0 0 560 182', class: 'lane', role: 'img', 'aria-label': `gate ${words(g.state)}, ${g.occupied ? 'occupied' : 'empty'}` },
    shape('rect', { x: 150, y: 20, width: 260, height: 142, class: g.occupied ? 'trap full' : 'trap' }), shape('path', { d: 'M8 20h544M8 162h544', class: 'wall' }),
    shape('path', { d: 'M40 91h60m-18-16 18 16-18 16M452 91h60m-18-16 18 16-18 16', class: 'way' }), leaf(146, g.entry), leaf(406, g.exit),
    ...Array.from({ length: n }, (_, i) => shape('circle', { cx: 250 + 44 * i, cy: 91, r: 17, class: 'person' })), ...(g.bag ? [shape('rect', { x: 330, y: 112, width: 34, height: 26, rx: 4, class: 'bag' })] : []),
    ...[[150, 'entry'], [410, 'exit']].map(([x, t]) => { const e = shape('text', { x, y: 14, 'text-anchor': 'middle' }); e.textContent = t; return e; }));
}

// Which right an order needs; the lane asks the same.
const needs = { open: ['steer'], close: ['steer', 'decide'], review: ['decide'], clear_alarms: ['decide', 'steer'], clear_faults: ['maintain', 'steer'], evacuate: ['evacuate', 'decide'], end_evacuate: ['evacuate'], renew: ['attend'] };
const may = o => (needs[o] ?? ['maintain', 'decide']).some(r => me.rights.includes(r));

function orderButtons(l) {
  const fit = fitting(l.view).filter(may), rest = Object.keys(orders).filter(o => !fit.includes(o) && may(o));
  const button = (o, main) => {
    const b = el('button', { type: 'button', textContent: orders[o], className: o === 'evacuate' ? 'danger' : main ? 'main' : '' });
    b.onclick = async () => {
      if (o === 'evacuate' && !await sure(`Evacuate lane ${l.id}? Its gate frees the way out. A second role must order the same.`)) return;
      said(await tell(l.id, o === 'renew' ? { kind: 'renew' } : { kind: 'order', value: o }));
    };
    return b;
  };
  const list = fit.map((o, i) => button(o, i === 0 && o !== 'close'));
  if (me.rights.includes('attend')) {
    const mine = watched.has(l.id), b = el('button', { type: 'button', textContent: mine ? 'Stop watching' : 'Watch this lane', className: mine ? '' : 'main' });
    b.onclick = () => watch(l.id, !mine);
    list.unshift(b);
  }
  if (rest.length) list.push(el('details', { className: 'more' }, el('summary', { textContent: 'More' }), el('div', { className: 'orders' }, ...rest.map(o => button(o)))));
  return list;
}

function sure(question) {
  const d = $('ask');
  d.querySelector('p').textContent = question;
  d.showModal();
  return new Promise(done => { d.onclose = () => done(d.returnValue === 'yes'); });
}

// tell signs a word and sends it. It returns what the lane said.
async function tell(lane, word, fresh) {
  let e;
  try { e = await sign({ lane, ...word }, fresh); } catch (x) { return { ok: false, said: x.name === 'NotAllowedError' ? 'The passkey was not used.' : x.message }; }
  const r = await call('POST', '/api/word/' + encodeURIComponent(lane), e).catch(() => ({ ok: false, said: 'No connection: the lane may or may not have heard you. Look at its state.' }));
  if (r.status === 401) lock('You were away for a while: sign in again.');
  return r;
}
const refusals = { stale: 'This case is over: somebody else decided, or the traveller has gone on.', not_now: 'Not possible in the lane’s present state.', not_allowed: 'The override table does not allow this.', reason: 'A reason is needed.', second: 'Heard. A second officer must say the same.', unproven: 'The lane could not prove that you said this. Sign in again.' };
function said(r) {
  const out = $('card-said');
  if (!out) return;
  out.className = r.ok && r.data?.code !== 'second' ? 'said good' : 'said';
  out.textContent = r.ok && !r.data?.code ? '' : refusals[r.data?.code] ?? r.said ?? '';
  if (r.data?.error?.includes('passkey once more')) out.textContent = 'This override needs your passkey once more.';
}

// — The case —

// loadCase shows what the lane says now. Only the newest question counts: an
// older answer that comes late must not stand beside newer buttons.
async function loadCase(l) {
  const id = l.id, turn = ++loads;
  const r = await fetch(`/api/lane/${encodeURIComponent(id)}/case`).catch(() => null);
  const raw = r?.ok ? new Uint8Array(await r.arrayBuffer()) : null, evidence = raw ? hex(await sha256(raw)) : '';
  const box = $('case-box');
  if (turn !== loads || chosen !== id || !box) return;
  if (!raw) { if (r?.status === 404) { box.replaceChildren(); delete box.dataset.seen; } return; }
  if (box.dataset.seen === l.view.state + evidence) return;
  box.dataset.seen = l.view.state + evidence;
  const k = JSON.parse(new TextDecoder().decode(raw));
  const kids = [el('h3', { className: 'name', textContent: [k.name || 'Reading…', k.issuer, words(k.class) === 'unknown' ? '' : k.class.replaceAll('_', ' ')].filter(Boolean).join(' · ') })];
  if (k.reason) kids.push(el('p', { className: 'why', textContent: whys[k.reason] ?? k.reason }));
  kids.push(faces(id, k));
  if (k.face) kids.push(score(k.face));
  if (k.stay) kids.push(el('p', { textContent: k.stay.Overstay ? `Stay: ${k.stay.Overstay} days over` : `Stay: ${words(k.stay.Status)}, ${k.stay.Days} days${k.stay.LastDay ? ', last day ' + k.stay.LastDay : ''}` }));
  if (k.calendar) kids.push(el('img', { className: 'days', src: `/api/lane/${encodeURIComponent(id)}/stay/${k.transaction}`, alt: 'Days of stay by month' }));
  if (me.rights.includes('decide') && ['REVIEW', 'HOLD', 'MULTI'].includes(l.view.state)) kids.push(decide(id, k, evidence));
  kids.push(el('h4', { textContent: `Document${k.access ? ' · ' + k.access : ''}${k.verdict ? ' · ' + words(k.verdict) : ''}` }), checks(k.checks), el('h4', { textContent: 'Registers' }), checks(k.answers));
  const sheet = el('button', { type: 'button', id: 'sheet', textContent: 'Paper for the desk' });
  sheet.onclick = () => paper($('paper'), { site: me.site, officer: me.name, lane: id, case: k, why: whys[k.reason] ?? '', training: !$('training').hidden });
  kids.push(el('div', { className: 'row small' }, sheet));
  box.replaceChildren(...kids);
}

function faces(id, k) {
  const frame = el('div', { className: 'faces' });
  for (const [which, label, there] of [['chip', 'Chip', k.chip], ['live', 'Live', k.live]]) {
    const pic = there ? el('img', { src: `/api/lane/${encodeURIComponent(id)}/face/${k.transaction}/${which}`, alt: label + ' face' }) : shape('svg', { viewBox: '0 0 90 120', 'aria-hidden': 'true', class: 'nobody' }, shape('circle', { cx: 45, cy: 42, r: 22 }), shape('path', { d: 'M5 120c0-30 16-46 40-46s40 16 40 46z' }));
    frame.append(el('figure', {}, pic, el('figcaption', { textContent: there ? label : label + ': not yet' })));
  }
  const flip = el('button', { type: 'button', textContent: 'Flip between' }), zoom = el('button', { type: 'button', textContent: 'Larger' });
  flip.onclick = () => { frame.classList.toggle('stacked'); flip.setAttribute('aria-pressed', frame.classList.contains('stacked')); };
  zoom.onclick = () => { frame.classList.toggle('large'); zoom.setAttribute('aria-pressed', frame.classList.contains('large')); };
  frame.onclick = () => frame.classList.contains('stacked') && frame.classList.toggle('other');
  return el('div', {}, frame, k.chip && k.live ? el('div', { className: 'row small' }, flip, zoom) : null);
}

function score(f) {
  const bar = shape('svg', { viewBox: '0 0 200 16', class: 'score', role: 'img', 'aria-label': `${f.shown} of 100, limit 60` }, shape('rect', { x: 0, y: 5, width: 200, height: 6, rx: 3, class: 'track' }), shape('rect', { x: 0, y: 5, width: 2 * f.shown, height: 6, rx: 3, class: f.shown >= 60 ? 'fill good' : 'fill bad' }), shape('path', { d: 'M120 0v16', class: 'limit' }));
  return el('div', { className: 'facescore' }, bar, el('p', { textContent: `Face: ${words(f.result)}, ${f.shown} of 100 (limit 60), ${f.attempts} ${f.attempts === 1 ? 'attempt' : 'attempts'} · attack detection: ${f.pad}` }));
}

function checks(list) {
  return el('ul', { className: 'checks' }, ...(list ?? []).map(c => {
    const [mark, t] = codes[c.code] ?? ['–', 'dim'];
    return el('li', {}, el('span', { className: 'mark ' + t, textContent: mark }), el('span', { textContent: c.name }), el('em', { textContent: words(c.code) + (c.reason ? ' · ' + c.reason : '') }));
  }));
}

// While a word is on its way the page asks before it is left.
let deciding = false;
addEventListener('beforeunload', e => { if (deciding) e.preventDefault(); });

const decisions = ['release', 'divert', 'hold', 'retry_face', 'refer_second_line'];

function decide(id, k, evidence) {
  const reason = el('select', { ariaLabel: 'reason' }, el('option', { value: '', textContent: 'reason…' }), ...[...new Set(Object.values(reasons).flat())].map(r => el('option', { value: r, textContent: r.replaceAll('_', ' ') })));
  const text = el('input', { placeholder: 'remark', ariaLabel: 'remark', maxLength: 500 });
  const reference = el('input', { placeholder: 'reference of a consultation elsewhere', ariaLabel: 'reference', maxLength: 100 });
  const needsReference = (k.answers ?? []).some(a => ['not_consulted', 'malformed'].includes(a.code));
  const buttons = decisions.map((d, i) => {
    const b = el('button', { type: 'button', className: d === 'release' ? 'main' : '' }, el('kbd', { textContent: i + 1 }), ' ' + words(d));
    if (d === 'release') { b.disabled = !k.review || !k.release; if (k.release === 2) b.append(` (${k.signed?.length ?? 0} of 2 officers)`); }
    if (d === 'retry_face') b.disabled = !k.review;
    b.onclick = async () => {
      // One word at a time: a second click, or another key, is no second word.
      if (deciding) return;
      deciding = true;
      const able = buttons.filter(x => !x.disabled);
      for (const x of able) x.disabled = true;
      const r = await tell(id, { kind: 'decide', transaction: k.transaction, value: d, reason: reason.value || reasons[d][0], text: text.value, reference: reference.value, evidence }, d === 'release' && k.release === 2);
      deciding = false;
      for (const x of able) x.disabled = false;
      said(r);
    };
    return b;
  });
  return el('div', { className: 'decide' }, reason, text, needsReference ? reference : null, ...buttons);
}

addEventListener('keydown', e => {
  if (e.target.matches('input,select,textarea') || e.ctrlKey || e.metaKey || e.altKey || !me || document.querySelector('dialog[open]')) return;
  if (e.key.startsWith('Arrow') && e.target.matches('.tile')) { step(e); return; }
  const b = /^[1-5]$/.test(e.key) && document.querySelectorAll('#card .decide > button')[+e.key - 1];
  if (b && !b.disabled) { b.click(); return; }
  const view = { l: 'lanes', o: 'cases', s: 'staff', f: 'figures', a: 'audit' }[e.key];
  if (view) $('tabs').querySelector(`[data-view=${view}]:not([hidden])`)?.click();
  if (e.key === 'n') $('cases').querySelector('button')?.click();
  if (e.key === 'e') $('alarms').querySelector('button.main')?.click();
  if (e.key === 'w' && chosen && me.rights.includes('attend')) watch(chosen, !watched.has(chosen));
  if (e.key === 'p') $('sheet')?.click();
  if (e.key === '?') $('keyhelp').showModal();
  if (e.key === 'Escape' && chosen) go('lanes');
  if (e.key === '/') { e.preventDefault(); go('lanes'); $('find').focus(); }
});

// step moves from tile to tile; up and down by what lies there.
function step(e) {
  const all = [...document.querySelectorAll('.tile:not([hidden])')], at = all.indexOf(e.target), here = e.target.getBoundingClientRect();
  let to = all[at + (e.key === 'ArrowRight' ? 1 : e.key === 'ArrowLeft' ? -1 : 0)];
  if (e.key === 'ArrowDown') to = all.slice(at + 1).find(t => { const r = t.getBoundingClientRect(); return r.top > here.top + 4 && r.right > here.left + 4; });
  if (e.key === 'ArrowUp') to = all.slice(0, at).reverse().find(t => { const r = t.getBoundingClientRect(); return r.top < here.top - 4 && r.left < here.right - 4; });
  if (to) { e.preventDefault(); to.focus(); }
}

const finding = () => el('select', { required: true, ariaLabel: 'finding' }, ...[['', 'finding…'], ['crossed', 'crossed'], ['not_crossed', 'did not cross']].map(([value, textContent]) => el('option', { value, textContent })));

// allCases lists the open cases of every lane. A lane that does not answer is
// named: its cases are unknown, which is not none.
async function allCases() {
  const r = await call('GET', '/api/cases').catch(() => null);
  if (!r?.ok) { $('settle-said').textContent = 'The site does not answer.'; return; }
  const { cases, silent } = r.data;
  $('no-open').hidden = cases.length > 0;
  $('cases-silent').hidden = !silent.length;
  $('cases-silent').textContent = `Not asked, because not heard: ${silent.join(', ')}.`;
  $('settle').replaceChildren(...cases.map(c => {
    const found = finding(), form = el('form', { className: 'row' }, el('b', { textContent: c.lane }), el('span', { textContent: `${new Date(c.at).toLocaleString()} · ${words(c.why)}` }), found, el('button', { textContent: 'Settle' }));
    form.onsubmit = async e => {
      e.preventDefault();
      const a = await tell(c.lane, { kind: 'settle_case', transaction: c.transaction, value: found.value });
      $('settle-said').textContent = a.ok ? '' : refusals[a.data?.code] ?? a.said ?? '';
      allCases();
    };
    return el('li', {}, form);
  }));
}
$('cases-again').onclick = allCases;

// staff says who watches what. Taking over adds their lanes to mine, as far as
// the cap lets me; they stop by themselves, so that no lane is ever left.
function staff() {
  const by = new Map([[me.officer, []]]), none = [];
  for (const l of lanes.values()) {
    const on = l.away ? [] : l.view?.officers ?? [];
    if (!on.length) none.push(l.id);
    for (const o of on) by.set(o, [...by.get(o) ?? [], l.id]);
  }
  const key = JSON.stringify([...by, none, ...watched]);
  if (key === staff.key && $('staff').querySelector('tbody').childNodes.length) return;
  staff.key = key;
  $('staff-mine').textContent = `You watch ${watched.size} of at most ${me.ratio}.`;
  $('staff').querySelector('tbody').replaceChildren(...[...by].sort().map(([o, list]) => {
    const act = el('td', {});
    if (o !== me.officer) {
      const more = list.filter(id => !watched.has(id)), take = el('button', { type: 'button', textContent: `Take over ${more.length || ''}`.trim(), disabled: !more.length });
      take.onclick = async () => {
        const room = me.ratio - watched.size;
        for (const id of more.slice(0, room)) await watch(id, true);
        $('staff-said').textContent = more.length > room ? `You watch ${me.ratio}, the most here: ${more.slice(room).join(', ')} still need somebody else.` : '';
      };
      act.append(take);
    } else if (watched.size) {
      const shared = [...watched].filter(id => (lanes.get(id)?.view?.officers ?? []).some(x => x !== o)), hand = el('button', { type: 'button', textContent: 'Stop watching those that somebody else watches', disabled: !shared.length });
      hand.onclick = async () => { for (const id of shared) await watch(id, false); };
      act.append(hand);
    }
    return el('tr', {}, el('td', { textContent: o === me.officer ? `${o} (you)` : o }), el('td', { textContent: list.sort((a, b) => a.localeCompare(b, undefined, { numeric: true })).join(', ') || 'none' }), act);
  }));
  $('unwatched').hidden = !none.length;
  $('unwatched').textContent = `Nobody watches ${none.length > 20 ? none.length + ' lanes' : none.sort().join(', ')}.`;
}

async function openCases(id) {
  const r = await call('GET', `/api/lane/${encodeURIComponent(id)}/cases`).catch(() => null);
  const box = $('open-cases');
  if (!r?.ok || !box || chosen !== id || !r.data.length) { box?.replaceChildren(); return; }
  box.replaceChildren(el('h4', { textContent: 'Did these travellers cross?' }), ...r.data.map(c => {
    const found = finding();
    const form = el('form', { className: 'row' }, el('span', { textContent: `${new Date(c.at).toLocaleString()} · ${words(c.why)}` }), found, el('button', { textContent: 'Settle' }));
    form.onsubmit = async e => { e.preventDefault(); said(await tell(id, { kind: 'settle_case', transaction: c.transaction, value: found.value })); openCases(id); };
    return form;
  }));
}

async function recent(id, box) {
  const r = await call('GET', '/api/crossings?lane=' + encodeURIComponent(id));
  if (!r.ok) return;
  box.replaceChildren(r.data.length ? '' : el('p', { className: 'empty', textContent: 'None in the last twelve hours.' }), ...r.data.map(c => {
    const d = el('details', {}, el('summary', { textContent: `${clock(c.at)} · ${c.class.replaceAll('_', ' ')} · ${words(c.outcome)} ${c.reason} · ${(c.took / 1000).toFixed(1)} s` }));
    d.ontoggle = () => { if (d.open && d.children.length === 1) d.append(timeline(c)); };
    return d;
  }));
}

// timeline draws a crossing's steps as bars over time.
function timeline(c) {
  const steps = c.timeline ?? [], us = Math.max(1, c.took * 1000, ...steps.map(s => s.e)), row = 18;
  const svg = shape('svg', { viewBox: `0 0 640 ${steps.length * row + 24}`, class: 'timeline', role: 'img', 'aria-label': 'steps of the crossing' });
  const x = t => 190 + 400 * t / us, text = (x, y, t, anchor) => { const e = shape('text', { x, y, 'text-anchor': anchor ?? 'start' }); e.textContent = t; return e; };
  for (let s = 0; s * 1e6 <= us; s++) svg.append(shape('path', { d: `M${x(s * 1e6)} 0v${steps.length * row}`, class: 'grid' }), text(x(s * 1e6), steps.length * row + 16, s + ' s', 'middle'));
  steps.forEach((s, i) => svg.append(text(184, i * row + 13, s.n.replace(/^lane\./, ''), 'end'), shape('rect', { x: x(s.s), y: i * row + 3, width: Math.max(1.5, x(s.e) - x(s.s)), height: 12, rx: 2, class: s.n.startsWith('lane.') ? 'lanestep' : s.n.startsWith('consult.') ? 'consult' : 'work' })));
  return svg;
}

// — Watching: my sign of life keeps my lanes open —

const remembered = () => 'passage watch ' + me.officer;
function restoreWatch() {
  watched.clear();
  try { for (const id of JSON.parse(sessionStorage.getItem(remembered()) ?? '[]')) watched.add(id); } catch { /* nothing remembered */ }
}
async function watch(id, on) {
  if (on && watched.size >= me.ratio) { said({ ok: false, said: `You watch ${me.ratio} lanes already: that is the most here.` }); return; }
  if (on) watched.add(id); else { watched.delete(id); said(await tell(id, { kind: 'absent' })); }
  sessionStorage.setItem(remembered(), JSON.stringify([...watched]));
  shown = null;
  if (lanes.has(id)) tile(lanes.get(id));
  summary(); card(); alive();
}
async function alive() {
  if (!me || !watched.size || !signedIn()) return;
  const r = await call('POST', '/api/present', await sign({ kind: 'present', lanes: [...watched] })).catch(() => null);
  if (r?.status === 401) lock('You were away for a while: sign in again.');
  else if (r && !r.ok) said(r);
}
setInterval(alive, 8000);

// Working at the console keeps it unlocked; an empty chair does not.
setInterval(() => { if (me) { queue(); remind(); if (!$('staff-view').hidden) staff(); for (const l of lanes.values()) if (l.away) tile(l); if (heard && Date.now() - heard > 15000) line(false); } }, 1000);

// — Figures —

async function figures() {
  const to = new Date(), from = new Date(to - $('span').value * 3600e3);
  const q = `from=${from.toISOString().slice(0, 19)}Z&to=${to.toISOString().slice(0, 19)}Z`;
  $('csv').href = `/api/export?${q}&format=csv`; $('parquet').href = `/api/export?${q}&format=parquet`;
  const r = await call('GET', `/api/statistics?${q}&by=${$('by').value}`);
  if (!r.ok) return;
  const cells = r.data.cells, few = '< 20', n = v => v ?? few, s = v => v == null ? '' : (v / 1000).toFixed(1) + ' s';
  $('cells').querySelector('tbody').replaceChildren(...cells.map(c => el('tr', {}, ...[c.key || '–', n(c.crossings), n(c.released), n(c.diverted), s(c.p50_ms), s(c.p95_ms)].map(t => el('td', { textContent: t })))));
  $('chart').replaceChildren(chart(cells));
  $('times').replaceChildren(times(cells));
}
$('span').onchange = $('by').onchange = figures;

// chart stacks released, diverted and others, one column a group.
function chart(cells) {
  const h = 180, most = Math.max(1, ...cells.map(c => c.crossings ?? 0)), w = Math.min(64, 900 / Math.max(1, cells.length));
  const svg = shape('svg', { viewBox: `0 0 960 ${h + 60}`, class: 'columns', role: 'img', 'aria-label': 'crossings by group' });
  const text = (x, y, t, more) => { const e = shape('text', { x, y, 'text-anchor': 'middle', ...more }); e.textContent = t; return e; };
  cells.forEach((c, i) => {
    const x = 40 + i * w;
    let y = h + 10;
    for (const [k, v] of c.released == null ? [['undivided', c.crossings]] : [['released', c.released], ['diverted', c.diverted], ['other', (c.crossings ?? 0) - (c.released ?? 0) - (c.diverted ?? 0)]]) {
      const tall = h * (v ?? 0) / most;
      y -= tall;
      if (tall > 0) svg.append(shape('rect', { x: x + w * .12, y, width: w * .76, height: tall, class: k }));
    }
    if (cells.length <= 40) svg.append(text(x + w / 2, h + 28, (c.key || '–').replace(/^\d+-\d+-\d+T/, ''), {}));
    if (c.crossings != null && cells.length <= 24) svg.append(text(x + w / 2, y - 4, c.crossings, {}));
  });
  [['released', 'released'], ['diverted', 'diverted'], ['other', 'other'], ['undivided', 'not divided']].forEach(([k, t], i) => svg.append(shape('rect', { x: 40 + i * 110, y: h + 42, width: 12, height: 12, rx: 2, class: k }), text(58 + i * 110, h + 53, t, { 'text-anchor': 'start' })));
  return svg;
}

// times shows what half and what nearly all of the released needed.
function times(cells) {
  const list = cells.filter(c => c.p50_ms != null), h = 120, most = Math.max(10000, ...list.map(c => c.p95_ms)), w = Math.min(64, 900 / Math.max(1, cells.length));
  const svg = shape('svg', { viewBox: `0 0 960 ${h + 46}`, class: 'columns', role: 'img', 'aria-label': 'median and 95th percentile of crossing times' });
  const y = ms => 10 + h * (1 - ms / most), text = (x, y, t, anchor) => { const e = shape('text', { x, y, 'text-anchor': anchor }); e.textContent = t; return e; };
  for (let s = 0; s * 1000 <= most; s += most > 40000 ? 20 : 5) svg.append(shape('path', { d: `M40 ${y(s * 1000)}h900`, class: 'axis' }), text(34, y(s * 1000) + 4, s + ' s', 'end'));
  cells.forEach((c, i) => {
    if (c.p50_ms == null) return;
    const x = 40 + i * w + w / 2;
    svg.append(shape('path', { d: `M${x} ${y(c.p50_ms)}V${y(c.p95_ms)}`, class: 'range' }), shape('circle', { cx: x, cy: y(c.p50_ms), r: 5, class: 'median' }));
    if (cells.length <= 40) svg.append(text(x, h + 28, (c.key || '–').replace(/^\d+-\d+-\d+T/, ''), 'middle'));
  });
  svg.append(text(40, h + 44, list.length ? 'crossing time of the released: ring at the median, bar up to the 95th percentile' : '', 'start'));
  return svg;
}

// — Audit —

async function audit() {
  const f = Object.fromEntries(new FormData($('search'))), to = new Date(Date.now() + 1000), from = new Date(to - f.hours * 3600e3);
  const q = new URLSearchParams({ from: from.toISOString().slice(0, 19) + 'Z', to: to.toISOString().slice(0, 19) + 'Z', officer: f.officer, lane: f.lane, transaction: f.transaction });
  const r = await call('GET', '/api/audit?' + q);
  if (!r.ok) return;
  $('no-words').hidden = r.data.length > 0;
  $('words').querySelector('tbody').replaceChildren(...r.data.map(w => el('tr', {}, ...[new Date(w.at).toLocaleString(), w.officer, w.lane, `${words(w.kind)} ${words(w.value)}`, words(w.reason), w.transaction, words(w.answer)].map(t => el('td', { textContent: t })))));
}
$('search').onsubmit = e => { e.preventDefault(); audit(); };

// — Lanes and officers —

const form = (id, path, done) => { $(id).onsubmit = async e => { e.preventDefault(); const r = await call('POST', path, Object.fromEntries(new FormData(e.target))); $(id + '-said').className = r.ok ? 'said good' : 'said'; $(id + '-said').textContent = r.ok ? done(r.data, e.target) : r.said; }; };
form('enrol', '/api/enrol/code', d => `On the lane’s computer, within 15 minutes: passage lane enrol --code ${d.code} --console https://…`);
form('revoke', '/api/enrol/revoke', () => 'Shut out. Its computer can no longer speak to the site.');
form('invite', '/api/invite', d => `${location.origin}/register?code=${d.code} (for three days)`);

if ('serviceWorker' in navigator) {
  const own = window.trustedTypes?.createPolicy('worker', { createScriptURL: u => u === '/sw.js' ? u : '' });
  navigator.serviceWorker.register(own ? own.createScriptURL('/sw.js') : '/sw.js').catch(() => { /* it only serves installing */ });
}
begin();
