// The lane page: state at a glance, one case at a time, decisions with a
// reason. Everything is built as text nodes: no answer can become markup.
import { tones, codes, reasons, say, orders, alarms, alerts, fitting, whys } from './words.js';

const $ = id => document.getElementById(id);
const el = (tag, props = {}, ...children) => { const e = Object.assign(document.createElement(tag), props); e.append(...children); return e; };
const shape = (tag, attributes, ...children) => { const e = document.createElementNS('http://www.w3.org/2000/svg', tag); for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v); e.append(...children); return e; };
const post = (path, body) => fetch('/lane/api/' + path, { method: 'POST', body: JSON.stringify(body ?? {}) });
let view = null, shown = '', pictures = '';

function orderButton(o, main) {
  const b = el('button', { type: 'button', textContent: orders[o], className: o === 'evacuate' ? 'danger' : main ? 'main' : '' });
  b.onclick = async () => {
    if (o === 'evacuate' && !confirm('Evacuate this lane? The gate frees its way out.')) return;
    const r = await post('order', { order: o });
    note(r.ok ? '' : (await r.json()).title);
  };
  return b;
}
function note(text) { $('denied2')?.remove(); if (text) $('orders').append(el('output', { id: 'denied2', className: 'bad', textContent: text })); }

async function cases() {
  if (!view?.me) { $('open').hidden = true; return; }
  const r = await fetch('/lane/api/cases');
  if (!r.ok) return;
  const list = await r.json();
  $('open').hidden = !list.length;
  const key = JSON.stringify(list);
  if (key === cases.last) return;
  cases.last = key;
  $('open').lastElementChild.replaceChildren(...list.map(c => {
    const found = el('select', { required: true, ariaLabel: 'finding' }, ...[['', 'finding…'], ['crossed', 'crossed'], ['not_crossed', 'did not cross']].map(([value, textContent]) => el('option', { value, textContent })));
    const form = el('form', {}, el('span', { textContent: `${new Date(c.at).toLocaleString()} · ${c.why.replaceAll('_', ' ')}` }), found, el('button', { textContent: 'Settle' }));
    form.onsubmit = async e => { e.preventDefault(); await post('order', { order: 'settle_case', id: c.transaction, text: found.value }); cases(); };
    return form;
  }));
}

function checks(list) {
  return el('ul', { className: 'checks' }, ...(list ?? []).map(c => {
    const [mark, tone] = codes[c.code] ?? ['–', 'dim'];
    return el('li', {}, el('span', { className: 'mark ' + tone, textContent: mark }), el('span', { textContent: c.name }), el('em', { textContent: c.code.replaceAll('_', ' ') + (c.reason ? ' · ' + c.reason : '') }));
  }));
}

function decide(k) {
  const text = el('input', { placeholder: 'remark', ariaLabel: 'remark' });
  const buttons = ['release', 'divert', 'hold', 'retry_face', 'refer_second_line'].map((d, i) => {
    const b = el('button', { type: 'button', textContent: `${i + 1} ${d.replaceAll('_', ' ')}`, className: d === 'release' ? 'main' : '' });
    if (d === 'release') { b.disabled = !k.review || !k.release; if (k.release === 2) b.textContent += ` (${k.signed?.length ?? 0} of 2 officers)`; }
    if (d === 'retry_face') b.disabled = !k.review;
    b.onclick = async () => {
      const r = await post('decide', { transaction: k.transaction, decision: d, reason: select.value || reasons[d][0], text: text.value });
      if (!r.ok) said.textContent = (await r.json()).title;
    };
    return b;
  });
  const select = el('select', { ariaLabel: 'reason' }, el('option', { value: '', textContent: 'reason…' }), ...[...new Set(Object.values(reasons).flat())].map(r => el('option', { value: r, textContent: r.replaceAll('_', ' ') })));
  const said = el('output', { className: 'bad' });
  return el('div', { className: 'decide' }, select, text, ...buttons, said);
}

function nobody() {
  return el('div', { className: 'none' }, shape('svg', { viewBox: '0 0 90 110', 'aria-hidden': 'true' }, shape('circle', { cx: 45, cy: 36, r: 24 }), shape('path', { d: 'M3 110c0-32 18-46 42-46s42 14 42 46z' })));
}

function drawCase(k) {
  const box = $('case');
  if (!view.me) { box.replaceChildren(el('p', { className: 'empty', textContent: 'Sign in to see cases and decide.' })); return; }
  if (!k) { box.replaceChildren(el('p', { className: 'empty', textContent: 'No crossing under way.' })); return; }
  const kids = [el('h2', { textContent: [k.name || 'Reading…', k.issuer, k.class === 'unknown' ? '' : k.class.replaceAll('_', ' ')].filter(Boolean).join(' · ') })];
  if (k.reason) kids.push(el('p', { className: 'why', textContent: whys[k.reason] ?? k.reason }));
  kids.push(el('div', { className: 'faces' }, ...[['chip', 'Chip', k.chip], ['live', 'Live', k.live]].map(([w, label, there]) => el('figure', {}, there ? el('img', { src: `/lane/face/${k.transaction}/${w}`, alt: label + ' face' }) : nobody(), el('figcaption', { textContent: there ? label : label + ': not yet' })))));
  if (k.face) kids.push(el('p', { textContent: `Face: ${k.face.result.replaceAll('_', ' ')}, ${k.face.shown} of 100 (limit 60), ${k.face.attempts} ${k.face.attempts === 1 ? 'attempt' : 'attempts'} · attack detection: ${k.face.pad}` }));
  if (k.stay) kids.push(el('p', { textContent: k.stay.Overstay ? `Stay: ${k.stay.Overstay} days over` : `Stay: ${k.stay.Status}, ${k.stay.Days} days${k.stay.LastDay ? ', last day ' + k.stay.LastDay : ''}` }));
  if (k.stay?.Bilateral) kids.push(el('p', { textContent: 'A bilateral agreement may allow more: look before you decide.' }));
  if (k.calendar) kids.push(el('img', { className: 'days', src: `/lane/stay/${k.transaction}`, alt: 'Days of stay by month' }));
  kids.push(decide(k), el('h3', { textContent: `Document${k.access ? ' · ' + k.access : ''}${k.verdict ? ' · ' + k.verdict.replaceAll('_', ' ') : ''}` }), checks(k.checks), el('h3', { textContent: 'Registers' }), checks(k.answers));
  box.replaceChildren(...kids);
}

// What was not consulted on a crossing, or only in the lane's copy.
function offline(r) { return (r.spans ?? []).map(s => /^consult\.(.*\(.*\))$/.exec(s.name)?.[1]).filter(Boolean).join(', '); }

function draw() {
  const v = view;
  $('lane').textContent = `${v.lane} · ${v.direction}`; $('site').textContent = v.site; document.title = `${v.lane} ${v.state}`;
  $('state').textContent = v.state.replaceAll('_', ' '); $('state').dataset.tone = tones[v.state] ?? '';
  $('say').textContent = v.closed && v.state === 'OUT_OF_SERVICE' ? 'Closed by an officer.' : say[v.state] ?? '';
  $('me').hidden = !v.me; $('signin').hidden = !!v.me; $('me').firstElementChild.textContent = v.me ?? '';
  const fit = fitting(v), key2 = JSON.stringify([v.me, fit]);
  if (key2 !== draw.orders) {
    draw.orders = key2;
    $('orders').hidden = $('more').hidden = !v.me;
    $('orders').replaceChildren(...fit.map((o, i) => orderButton(o, i === 0 && o !== 'close')));
    $('more').lastElementChild.replaceChildren(...Object.keys(orders).filter(o => !fit.includes(o)).map(o => orderButton(o)));
  }
  $('banners').replaceChildren(...(v.banners ?? []).map(b => el('p', { textContent: b })));
  $('alerts').replaceChildren(...(v.alerts ?? []).filter(a => !a.by).map(a => { const b = el('button', { textContent: 'I see to it' }); b.onclick = () => post('order', { order: 'acknowledge', id: String(a.id) }); return el('div', {}, `${alerts[a.kind] ?? a.kind} · ${new Date(a.at).toLocaleTimeString()}`, b); }));
  for (const leaf of ['entry', 'exit']) { const l = $('leaf-' + leaf), open = v.gate[leaf]; l.setAttribute('height', 142 * (1 - .85 * open / 100)); l.classList.toggle('open', open > 0); }
  $('trap').classList.toggle('full', v.gate.occupied); $('bag').classList.toggle('off', !v.gate.bag);
  const n = v.gate.occupied ? Math.min(4, Math.max(1, v.gate.persons)) : 0;
  $('people').replaceChildren(...Array.from({ length: n }, (_, i) => shape('circle', { cx: 280 + 44 * i, cy: 95, r: 18, class: 'person' })));
  $('gatebits').textContent = [...(v.gate.alarms ?? []).map(a => alarms[a] ?? a), ...(v.gate.faults ?? []).map(f => 'fault ' + f.toLowerCase().replaceAll('_', ' '))].join(' · ');
  $('devices').replaceChildren(...(v.devices ?? []).map(d => el('li', { className: d.ok ? '' : 'bad' }, el('span', { className: 'mark ' + (d.ok ? 'good' : 'bad'), textContent: d.ok ? '✓' : '✗' }), d.name + (d.why ? ': ' + d.why.replace(/^(camera|matcher): /, '') : ''))));
  $('duty').textContent = (v.officers ?? []).length ? 'On duty: ' + v.officers.join(', ') : 'No officer on duty: the lane stays closed.';
  const k = JSON.stringify([v.case, v.me]);
  if (k !== shown) { shown = k; drawCase(v.case); }
  $('recent').querySelector('.empty').hidden = !!(v.recent ?? []).length;
  $('recent').querySelector('tbody').replaceChildren(...(v.recent ?? []).map(r => el('tr', {}, ...[new Date(r.at).toLocaleTimeString(), r.class, r.outcome.replaceAll('_', ' '), [r.reason, offline(r)].filter(Boolean).join(' · '), r.seconds.toFixed(1)].map(t => el('td', { textContent: t })))));
}

$('signin').onsubmit = async e => {
  e.preventDefault();
  const r = await post('sign-in', Object.fromEntries(new FormData(e.target)));
  $('denied').textContent = r.ok ? '' : (await r.json()).title;
  if (r.ok) { e.target.reset(); listen(); }
};
$('signout').onclick = async () => { await post('sign-out'); listen(); };
addEventListener('keydown', e => { if (e.target.matches('input,select')) return; const b = document.querySelectorAll('.decide button')[+e.key - 1]; if (b && !b.disabled) b.click(); });
setInterval(() => { cases(); if (view?.me) post('presence'); if (view) $('since').textContent = Math.max(0, Math.round((Date.now() - view.since) / 1000)) + ' s'; }, 5000);
let events;
function listen() { events?.close(); shown = ''; events = new EventSource('/lane/events'); events.onmessage = e => { view = JSON.parse(e.data); draw(); }; events.onerror = () => { $('state').textContent = 'no connection'; $('state').dataset.tone = 'bad'; }; }
listen();
