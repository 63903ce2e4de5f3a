// One lane: its state, the case under way and its decision, its orders.
import { alerts, because, classes, doubts, effects, fitting, orders, possible, say as means, short, whys } from './words.js';
import { decide, devices, gate, settle, show } from './case.js';
import { $, clock, el, label, shape, words } from './dom.js';
import { bytes, call, hex, sha256, say, signedIn } from './passkey.js';
import { go, heard, here, lanes, may, meaning, state, tell, watched } from './state.js';
import { queue } from './alarms.js';
import { hangUp, intercom } from './intercom.js';
import { paper } from './paper.js';
import { summary, tile, tone } from './plan.js';

let shown = null, loads = 0;

export function choose(id) {
  const old = here.chosen;
  here.chosen = id;
  shown = null;
  for (const x of [old, id]) if (x) tile(x);
  queue();
  $('card').hidden = false;
  $('board').classList.add('chosen');
  card();
  if (matchMedia('(max-width: 999px)').matches) $('card').scrollIntoView({ block: 'start' });
}

export function leave() {
  const id = here.chosen;
  here.chosen = null; shown = null; loads++;
  hangUp();
  $('card').hidden = true;
  $('card').replaceChildren();
  $('board').classList.remove('chosen');
  if (!here.me) return;
  queue();
  if (id) tile(id);
}

// card draws the chosen lane where it has changed. What was typed, and what was
// said last, stay.
export async function card() {
  const id = here.chosen, l = lanes.get(id) ?? { id, away: true }, v = l.view;
  const key = JSON.stringify([id, l.away, v?.state, v?.gate?.alarms, v?.gate?.faults, v?.gate?.occupied, v?.gate?.state, v?.closed, v?.direction, v?.unhurried, v?.officers, v?.devices, watched.has(id), v?.under, v?.banners, v?.alerts, l.problem]);
  if (key === shown) return;
  const fresh = !shown || JSON.parse(shown)[0] !== id;
  shown = key;
  const badge = el('span', { className: 'state', textContent: short[state(l)] ?? words(state(l)) });
  badge.dataset.tone = tone(l);
  const head = el('div', { className: 'row head' }, el('h2', { textContent: `Lane ${id}` }), badge, v?.direction && !l.away ? el('span', { className: 'tag', textContent: v.both_ways ? `${v.direction}, of both ways` : v.direction }) : null, v?.unhurried && !l.away ? el('span', { className: 'tag', textContent: 'more time given' }) : null, el('button', { type: 'button', className: 'close', ariaLabel: 'close', textContent: '×', onclick: () => go('lanes') }));
  if (l.away || !v) {
    $('card').replaceChildren(head, el('p', { className: 'why', textContent: l.seen ? `This lane has not been seen since ${clock(l.seen)}. Nothing is known of it: go there, or call.` : 'This lane has never been seen. Is its computer enrolled and running?' }));
    return;
  }
  const box = el('div', { id: 'case-box' }), out = el('output', { className: 'said', id: 'card-said' });
  if (!fresh && $('case-box')) { box.dataset.seen = $('case-box').dataset.seen ?? ''; box.replaceChildren(...$('case-box').childNodes); }
  if (!fresh && $('card-said')) { out.className = $('card-said').className; out.textContent = $('card-said').textContent; }
  const answered = (v.alerts ?? []).filter(a => a.by), looks = v.under && may('see_case');
  const past = !fresh && $('past') || el('details', { id: 'past' }, el('summary', { textContent: 'Last crossings' }), el('div', {}));
  past.ontoggle = () => past.open && recent(id, past.lastElementChild);
  const about = [el('div', { className: 'about' }, gate(v), el('div', { className: 'orders' }, orderButtons(l, !fresh && !!$('card').querySelector('.more')?.open))),
    may('decide') ? intercom(id, v.under?.transaction) : null,
    devices(v.devices), el('p', { className: 'note', textContent: (v.officers ?? []).length ? 'Watched by ' + v.officers.join(', ') : 'Nobody watches this lane: it stays closed.' }),
    may('settle_case') ? el('div', { id: 'open-cases' }) : null, past];
  $('card').replaceChildren(...[head, el('p', { className: 'meaning', textContent: v.closed && v.state === 'OUT_OF_SERVICE' ? 'Closed by an officer.' : means[v.state] ?? '' }),
    answered.length ? el('p', { className: 'seen', textContent: answered.map(a => `${alerts[a.kind] ?? words(a.kind)}: ${a.by} sees to it`).join(' · ') }) : null,
    ...[...(v.banners ?? []), l.problem].filter(Boolean).map(b => el('p', { className: 'banner', textContent: b })), out,
    // Where there is a decision to take it comes first.
    ...(v.under?.review ? [box, ...about] : [...about.slice(0, 1), box, ...about.slice(1)])].filter(Boolean));
  if (looks) await load(l);
  else box.replaceChildren(v.under ? el('p', { className: 'note', textContent: `Under way: ${[classes[v.under.class], because[v.under.reason]].filter(Boolean).join(', ') || 'a traveller'}.` }) : '');
  if (may('settle_case')) openCases(id);
}

// Which right an order needs; the lane asks the same.
const needs = { open: ['steer'], close: ['steer', 'decide'], review: ['decide'], clear_alarms: ['decide', 'steer'], clear_faults: ['maintain', 'steer'], evacuate: ['evacuate', 'decide'], end_evacuate: ['evacuate'], renew: ['attend'], more_time: ['attend'], direction_entry: ['configure'], direction_exit: ['configure'] };
const mine = o => (needs[o] ?? ['maintain', 'decide']).some(may);

function orderButtons(l, open) {
  const fit = fitting(l.view).filter(mine), rest = Object.keys(orders).filter(o => !fit.includes(o) && mine(o) && possible(o, l.view));
  const button = (o, main) => {
    const b = el('button', { type: 'button', textContent: orders[o], title: effects[o] ?? '', className: o === 'evacuate' ? 'danger' : main ? 'main' : '' });
    b.onclick = async () => {
      const ask = doubts(o, `lane ${l.id}`);
      if (ask && !await sure(ask + (o === 'evacuate' ? ' A second role must order the same.' : ''))) return;
      b.closest('.more')?.removeAttribute('open');
      said(await tell(l.id, o === 'renew' ? { kind: 'renew' } : { kind: 'order', value: o }, o.startsWith('direction_')));
    };
    return b;
  };
  const list = fit.map((o, i) => button(o, i === 0 && o !== 'close'));
  if (may('attend')) {
    const on = watched.has(l.id);
    list.unshift(el('button', { type: 'button', textContent: on ? 'Stop watching' : 'Watch this lane', className: on ? '' : 'main', onclick: () => watch(l.id, !on) }));
  }
  if (rest.length) list.push(el('details', { className: 'more', open }, el('summary', { textContent: 'More' }), el('div', { className: 'orders' }, rest.map(o => button(o)))));
  return list;
}

function sure(question) {
  const d = $('ask');
  d.querySelector('p').textContent = question;
  d.returnValue = ''; // the last answer is none to this question
  d.showModal();
  return new Promise(done => { d.onclose = () => done(d.returnValue === 'yes'); });
}

export function said(r) {
  const out = $('card-said');
  if (!out) return;
  out.className = heard(r) ? 'said good' : r.data?.code === 'second' ? 'said half' : 'said';
  out.textContent = meaning(r);
}

// load shows what the lane says now. Only the newest question counts: an older
// answer that comes late must not stand beside newer buttons.
async function load(l) {
  const id = l.id, turn = ++loads;
  const { ok, status, raw } = await bytes(`/api/lane/${encodeURIComponent(id)}/case`), evidence = hex(await sha256(raw));
  const box = $('case-box');
  if (turn !== loads || here.chosen !== id || !box) return;
  if (!ok) { if (status === 404) { box.replaceChildren(); delete box.dataset.seen; } return; }
  if (box.dataset.seen === l.view.state + evidence) return;
  box.dataset.seen = l.view.state + evidence;
  const k = JSON.parse(new TextDecoder().decode(raw)), lane = `/api/lane/${encodeURIComponent(id)}`;
  const row = may('decide') && ['REVIEW', 'HOLD', 'MULTI'].includes(l.view.state) ? decide(k, async d => {
    said(await tell(id, { kind: 'decide', transaction: k.transaction, value: d.decision, reason: d.reason, text: d.text, reference: d.reference, evidence }, d.decision === 'release' && k.release === 2));
  }, box.querySelector('.decide')) : null;
  const sheet = el('button', { type: 'button', id: 'sheet', textContent: 'Paper for the desk' });
  sheet.onclick = () => paper($('paper'), { site: here.me.site, officer: here.me.name, lane: id, case: k, why: whys[k.reason] ?? '', training: !$('training').hidden });
  box.replaceChildren(...show(k, which => which === 'days' ? `${lane}/stay/${k.transaction}` : `${lane}/face/${k.transaction}/${which}`, row), el('div', { className: 'row small' }, sheet));
}

async function openCases(id) {
  const r = await call('GET', `/api/lane/${encodeURIComponent(id)}/cases`), box = $('open-cases');
  if (here.chosen !== id || !box) return;
  if (!r.ok || !r.data.length) { box.replaceChildren(); return; }
  box.replaceChildren(el('h4', { textContent: 'Did these travellers cross?' }), ...r.data.map(c => settle(c, null, async finding => { said(await tell(id, { kind: 'settle_case', transaction: c.transaction, value: finding })); openCases(id); })));
}

async function recent(id, box) {
  const r = await call('GET', '/api/crossings?lane=' + encodeURIComponent(id));
  if (!r.ok) { box.replaceChildren(el('p', { className: 'empty', textContent: r.said })); return; }
  box.replaceChildren(r.data.length ? '' : el('p', { className: 'empty', textContent: 'None in the last twelve hours.' }), ...r.data.map(c => {
    const d = el('details', {}, el('summary', { textContent: [clock(c.at), classes[c.class] ?? c.class, words(c.outcome), because[c.reason] ?? c.reason, (c.took / 1000).toFixed(1) + ' s'].filter(Boolean).join(' · ') }));
    d.ontoggle = () => { if (d.open && d.children.length === 1) d.append(timeline(c)); };
    return d;
  }));
}

const step = n => n.startsWith('lane.') ? short[n.slice(5)] ?? words(n.slice(5)) : n.startsWith('officer.') ? 'an officer decides' : n.startsWith('consult.') ? `asks ${n.slice(8).toUpperCase().replaceAll('_', ' ')}` : words(n);

const at = us => (us / 1e6).toFixed(1) + ' s';
// timeline draws a crossing's steps as bars over time, and says them to who does
// not see it.
function timeline(c) {
  const steps = c.timeline ?? [], us = Math.max(1, c.took * 1000, ...steps.map(s => s.e)), row = 18;
  const svg = shape('svg', { viewBox: `0 0 640 ${steps.length * row + 24}`, class: 'timeline', role: 'img', 'aria-label': `The crossing’s steps: ${steps.map(s => `${step(s.n)} from ${at(s.s)} to ${at(s.e)}`).join('; ')}` });
  const x = t => 190 + 400 * t / us;
  for (let s = 0; s * 1e6 <= us; s++) svg.append(shape('path', { d: `M${x(s * 1e6)} 0v${steps.length * row}`, class: 'grid' }), label(x(s * 1e6), steps.length * row + 16, s + ' s'));
  steps.forEach((s, i) => svg.append(label(184, i * row + 13, step(s.n), 'end'), shape('rect', { x: x(s.s), y: i * row + 3, width: Math.max(1.5, x(s.e) - x(s.s)), height: 12, rx: 2, class: s.n.startsWith('lane.') ? 'lanestep' : s.n.startsWith('consult.') ? 'consult' : s.n.startsWith('officer.') ? 'officer' : 'work' })));
  return svg;
}

// — Watching: my sign of life keeps my lanes open —

const remembered = () => 'passage watch ' + here.me.officer;
export function restoreWatch() {
  watched.clear();
  try { for (const id of JSON.parse(sessionStorage.getItem(remembered()) ?? '[]')) watched.add(id); } catch { /* nothing remembered */ }
}
export async function watch(id, on) {
  if (on && watched.size >= here.me.ratio) { said({ ok: false, said: `You watch ${here.me.ratio} lanes already: that is the most here.` }); return; }
  if (on) watched.add(id); else { watched.delete(id); said(await tell(id, { kind: 'absent' })); }
  sessionStorage.setItem(remembered(), JSON.stringify([...watched]));
  shown = null;
  tile(id); summary();
  if (here.chosen) card();
  alive();
}
export async function alive() {
  if (!here.me || !watched.size || !signedIn()) return;
  const r = await say({ kind: 'present', lanes: [...watched] }, false, e => call('POST', '/api/present', e));
  if (!r.ok && r.status !== 0) said(r); // a site that is away is said above all views
}
