// The lane page: state at a glance, one case at a time, decisions with a
// reason. Everything is built as text nodes: no answer can become markup.
const $ = id => document.getElementById(id);
const el = (tag, props = {}, ...children) => { const e = Object.assign(document.createElement(tag), props); e.append(...children); return e; };
const post = (path, body) => fetch('/lane/api/' + path, { method: 'POST', body: JSON.stringify(body ?? {}) });
let view = null, shown = '', pictures = '';

const tones = { IDLE: 'good', REVIEW: 'mid', HOLD: 'mid', MULTI: 'mid', LUGGAGE: 'mid', FALLBACK: 'bad', FAULT: 'bad', EVACUATE: 'bad', OUT_OF_SERVICE: 'bad' };
const codes = { successful: ['✓', 'good'], failed: ['✗', 'bad'], undetermined: ['?', 'mid'], clear: ['✓', 'good'], not_applicable: ['–', 'dim'], local_copy: ['✓', 'mid'], hit_action: ['✗', 'bad'], hit_inquiry: ['!', 'bad'], possible: ['?', 'mid'], not_consulted: ['?', 'mid'], malformed: ['?', 'mid'], face_differs: ['✗', 'bad'], exhausted: ['✗', 'bad'], overstay: ['✗', 'bad'] };
const reasons = { release: ['visual_comparison', 'guardian_seen', 'purpose_and_means_checked', 'quality', 'consulted_elsewhere'], divert: ['doubt', 'document', 'face', 'traveller_asked', 'other'], hold: ['check_needed', 'other'], retry_face: ['pose', 'light', 'covered'], refer_second_line: ['hit', 'face', 'document', 'other'] };

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

function drawCase(k) {
  const box = $('case');
  if (!view.me) { box.replaceChildren(el('p', { className: 'empty', textContent: 'Sign in to see cases and decide.' })); return; }
  if (!k) { box.replaceChildren(el('p', { className: 'empty', textContent: 'No crossing under way.' })); return; }
  const kids = [el('h2', { textContent: `${k.name || 'Reading…'}  ${k.issuer}  ${k.class === 'unknown' ? '' : k.class}` })];
  if (k.reason) kids.push(el('p', { className: 'bad', textContent: 'Reason: ' + k.reason }));
  const faces = [['chip', 'Chip', k.chip], ['live', 'Live', k.live]].filter(f => f[2]).map(([w, label]) => el('figure', {}, el('img', { src: `/lane/face/${k.transaction}/${w}`, alt: label + ' face' }), el('figcaption', { textContent: label })));
  if (faces.length) kids.push(el('div', { className: 'faces' }, ...faces));
  if (k.face) kids.push(el('p', { textContent: `Face: ${k.face.result.replaceAll('_', ' ')}, ${k.face.shown} of 100 (limit 60), ${k.face.attempts} attempt(s) · attack detection: ${k.face.pad}` }));
  if (k.stay) kids.push(el('p', { textContent: k.stay.Overstay ? `Stay: ${k.stay.Overstay} days over` : `Stay: ${k.stay.Status}, ${k.stay.Days} days${k.stay.LastDay ? ', last day ' + k.stay.LastDay : ''}` }));
  kids.push(decide(k), el('h3', { textContent: `Document${k.access ? ' · ' + k.access : ''}${k.verdict ? ' · ' + k.verdict.replaceAll('_', ' ') : ''}` }), checks(k.checks), el('h3', { textContent: 'Registers' }), checks(k.answers));
  box.replaceChildren(...kids);
}

function draw() {
  const v = view;
  $('lane').textContent = `${v.lane} · ${v.direction}`; $('site').textContent = v.site; document.title = `${v.lane} ${v.state}`;
  $('state').textContent = v.state.replaceAll('_', ' '); $('state').dataset.tone = tones[v.state] ?? '';
  $('me').hidden = !v.me; $('signin').hidden = !!v.me; $('me').firstElementChild.textContent = v.me ?? ''; $('orders').hidden = !v.me;
  $('banners').replaceChildren(...(v.banners ?? []).map(b => el('p', { textContent: b })));
  $('alerts').replaceChildren(...(v.alerts ?? []).filter(a => !a.by).map(a => { const b = el('button', { textContent: 'I see to it' }); b.onclick = () => post('order', { order: 'acknowledge', id: String(a.id) }); return el('div', {}, `${a.kind.replaceAll('_', ' ')} · ${new Date(a.at).toLocaleTimeString()}`, b); }));
  for (const leaf of ['entry', 'exit']) { const l = $('leaf-' + leaf), open = v.gate[leaf]; l.setAttribute('height', 142 * (1 - .85 * open / 100)); l.classList.toggle('open', open > 0); }
  $('trap').classList.toggle('full', v.gate.occupied); $('bag').toggleAttribute('hidden', !v.gate.bag);
  const n = v.gate.occupied ? Math.min(4, Math.max(1, v.gate.persons)) : 0;
  $('people').replaceChildren(...Array.from({ length: n }, (_, i) => { const c = document.createElementNS('http://www.w3.org/2000/svg', 'circle'); c.setAttribute('cx', 280 + 44 * i); c.setAttribute('cy', 95); c.setAttribute('r', 18); c.setAttribute('class', 'person'); return c; }));
  $('gate').textContent = v.gate.link ? 'Gate ' + v.gate.state.replaceAll('_', ' ') : 'Gate not heard';
  $('gatebits').textContent = [...(v.gate.alarms ?? []), ...(v.gate.faults ?? [])].join(' · ');
  $('unfit').textContent = [(v.officers ?? []).length ? 'On duty: ' + v.officers.join(', ') : 'No officer on duty', ...(v.unfit ?? [])].join(' · ');
  const k = JSON.stringify([v.case, v.me]);
  if (k !== shown) { shown = k; drawCase(v.case); }
  $('recent').querySelector('tbody').replaceChildren(...(v.recent ?? []).map(r => el('tr', {}, ...[new Date(r.at).toLocaleTimeString(), r.class, r.outcome.replaceAll('_', ' '), r.reason ?? '', r.seconds.toFixed(1)].map(t => el('td', { textContent: t })))));
}

$('signin').onsubmit = async e => {
  e.preventDefault();
  const r = await post('sign-in', Object.fromEntries(new FormData(e.target)));
  $('denied').textContent = r.ok ? '' : (await r.json()).title;
  if (r.ok) { e.target.reset(); listen(); }
};
$('signout').onclick = async () => { await post('sign-out'); listen(); };
$('orders').onclick = e => { const o = e.target.dataset?.order; if (o && (o !== 'evacuate' || confirm('Evacuate this lane?'))) post('order', { order: o }); };
addEventListener('keydown', e => { if (e.target.matches('input,select')) return; const b = document.querySelectorAll('.decide button')[+e.key - 1]; if (b && !b.disabled) b.click(); });
setInterval(() => { if (view?.me) post('presence'); if (view) $('since').textContent = Math.max(0, Math.round((Date.now() - view.since) / 1000)) + ' s'; }, 5000);
let events;
function listen() { events?.close(); shown = ''; events = new EventSource('/lane/events'); events.onmessage = e => { view = JSON.parse(e.data); draw(); }; events.onerror = () => { $('state').textContent = 'no connection'; $('state').dataset.tone = 'bad'; }; }
listen();
