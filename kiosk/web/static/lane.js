// The lane page: state at a glance, one case at a time, decisions with a reason.
import { alarms, alerts, because, classes, doubts, effects, fitting, orders, possible, say, short, tones } from './words.js';
import { look, sit } from './chair.js';
import { decide, devices, gate, pressed, settle, show } from './case.js';
import { $, again, clock, el, words } from './dom.js';

// call asks the lane: { ok, status, data, said }, with status 0 where it does not
// answer, and null for data that is no JSON.
async function call(path, body) {
  const r = await fetch('/lane/api/' + path, body && { method: 'POST', body: JSON.stringify(body) }).catch(() => null), data = await r?.json().catch(() => null);
  return { ok: !!r?.ok, status: r?.status ?? 0, data, said: !r ? 'No connection to the lane. Look at its state.' : r.ok ? '' : data?.title ?? `The lane answers ${r.status}.` };
}
const post = (path, body = {}) => call(path, body);
const order = async o => { $('ordered').textContent = (await post('order', o)).said; };
let view = null, shown = '', events;
sit();

function orderButton(o, main) {
  const b = el('button', { type: 'button', textContent: orders[o], title: effects[o] ?? '', className: o === 'evacuate' ? 'danger' : main ? 'main' : '' });
  b.onclick = () => {
    const ask = doubts(o, 'this lane');
    if (ask && !confirm(ask)) return;
    order({ order: o });
  };
  return b;
}

async function cases() {
  if (!view?.me) { $('open').hidden = true; $('open').lastElementChild.replaceChildren(); cases.last = ''; return; }
  const r = await call('cases'), list = r.data;
  if (!r.status) lost();
  if (!r.ok || !list || !view.me) return; // a late answer is not for a locked page
  $('open').hidden = !list.length;
  const key = JSON.stringify(list);
  if (key === cases.last) return;
  cases.last = key;
  $('open').lastElementChild.replaceChildren(...list.map(c => settle(c, null, async finding => { await order({ order: 'settle_case', id: c.transaction, text: finding }); cases(); })));
}

function drawCase(k) {
  const box = $('case');
  if (!view.me || !k) { box.replaceChildren(el('p', { className: 'empty', textContent: view.me ? 'No crossing under way.' : 'Sign in to see cases and decide.' })); return; }
  const said = el('output', { className: 'said' });
  const row = decide(k, async ({ decision, reason, text, reference }) => {
    const r = await post('decide', { transaction: k.transaction, decision, reason, text, reference });
    said.className = r.status === 202 ? 'said half' : 'said';
    said.textContent = r.status === 202 ? 'Heard. A second officer must say the same.' : r.said;
  }, box.querySelector('.decide'));
  row.append(said);
  box.replaceChildren(...show(k, which => which === 'days' ? `/lane/stay/${k.transaction}` : `/lane/face/${k.transaction}/${which}`, row));
}

// What was not consulted on a crossing, or only in the lane's copy.
const offline = r => (r.spans ?? []).map(s => /^consult\.(.*\(.*\))$/.exec(s.name)?.[1]).filter(Boolean).join(', ');

function draw() {
  const v = view;
  $('lane').textContent = `${v.lane} · ${v.direction}`; $('site').textContent = v.site; document.title = `${v.lane} ${short[v.state] ?? v.state}`;
  $('state').textContent = short[v.state] ?? words(v.state); $('state').dataset.state = v.state; $('state').dataset.tone = tones[v.state] ?? '';
  $('say').textContent = v.closed && v.state === 'OUT_OF_SERVICE' ? 'Closed by an officer.' : say[v.state] ?? '';
  $('me').hidden = !v.me; $('signin').hidden = !!v.me; $('me').firstElementChild.textContent = v.me ?? '';
  const fit = fitting(v), more = Object.keys(orders).filter(o => !fit.includes(o) && possible(o, v)), able = JSON.stringify([v.me, fit, more]);
  if (able !== draw.able) {
    draw.able = able;
    $('orders').hidden = $('more').hidden = !v.me;
    $('orders').replaceChildren(...fit.map((o, i) => orderButton(o, i === 0 && o !== 'close')));
    $('more').lastElementChild.replaceChildren(...more.map(o => orderButton(o)));
  }
  $('banners').replaceChildren(...(v.banners ?? []).map(b => el('p', { textContent: b })));
  $('alerts').replaceChildren(...(v.alerts ?? []).filter(a => !a.by).map(a => { const b = el('button', { textContent: 'I see to it' }); b.onclick = () => order({ order: 'acknowledge', id: String(a.id) }); return el('div', {}, `${alerts[a.kind] ?? words(a.kind)} · ${clock(a.at)}${again(a)}`, b); }));
  $('gate').replaceChildren(gate(v));
  $('gatebits').textContent = [...(v.gate.alarms ?? []).map(a => alarms[a] ?? a), ...(v.gate.faults ?? []).map(f => 'fault ' + words(f))].join(' · ');
  $('devices').replaceChildren(devices(v.devices));
  $('duty').textContent = (v.officers ?? []).length ? 'On duty: ' + v.officers.join(', ') : 'No officer on duty: the lane stays closed.';
  const k = JSON.stringify([v.case, v.me]);
  if (k !== shown) { shown = k; drawCase(v.case); }
  $('recent').querySelector('.empty').hidden = !!(v.recent ?? []).length;
  $('recent').querySelector('tbody').replaceChildren(...(v.recent ?? []).map(r => el('tr', {}, [clock(r.at), classes[r.class] ?? r.class, words(r.outcome), [because[r.reason] ?? r.reason, offline(r)].filter(Boolean).join(' · '), r.seconds.toFixed(1)].map(textContent => el('td', { textContent })))));
}

$('signin').onsubmit = async e => {
  e.preventDefault();
  const r = await post('sign-in', Object.fromEntries(new FormData(e.target)));
  $('denied').textContent = r.said;
  if (r.ok) { e.target.reset(); sit(); listen(); }
};
$('signout').onclick = async () => { await post('sign-out'); listen(); };
addEventListener('keydown', e => { if (!e.target.matches('input,select') && !e.ctrlKey && !e.metaKey && !e.altKey) pressed(e)?.click(); });
// What is shown is old while the lane does not answer, whether the browser has
// noticed that the line is cut or not.
let gone = false;
function lost() {
  gone = true;
  $('state').textContent = 'no connection'; $('state').dataset.tone = 'bad';
  $('say').textContent = 'The lane does not answer. What you see is old.';
}
function back() { if (gone && events.readyState === EventSource.OPEN) { gone = false; draw(); } }
setInterval(() => { cases(); if (view?.me) post('presence').then(r => r.status ? back() : lost()); if (view) $('since').textContent = Math.max(0, Math.round((Date.now() - view.since) / 1000)) + ' s'; }, 5000);
// What an officer was shown goes with the officer, whether the lane hears or not.
function lock() {
  events.close();
  post('sign-out').then(listen);
  view = { ...view, me: '', case: null, recent: [], alerts: [] };
  $('still').close();
  draw();
  cases();
  $('denied').textContent = 'You were away for a while: sign in again.';
}
setInterval(() => { if (view?.me) look(view.idle_ms, () => post('here'), lock); }, 1000);
function listen() { events?.close(); shown = ''; events = new EventSource('/lane/events'); events.onmessage = e => { view = JSON.parse(e.data); gone = false; draw(); }; events.onerror = lost; }

listen();
