// The panel's page. It draws what /api/lanes/{lane}/events tells, and everything
// it does is one line of words to /api/lanes/{lane}/do.
const $ = id => document.getElementById(id);
const svg = (name, attributes = {}, ...children) => { const e = document.createElementNS('http://www.w3.org/2000/svg', name); for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v); e.append(...children); return e; };
const el = (name, properties = {}, ...children) => { const e = Object.assign(document.createElement(name), properties); e.append(...children); return e; };
const still = matchMedia('(prefers-reduced-motion: reduce)');

let catalogue, view, lane = new URLSearchParams(location.search).get('lane') ?? '';

// — Words —

function tell(text, bad) { $('told').textContent = text; $('told').className = bad ? 'bad' : ''; }
async function say(words) {
  tell(words + ' …');
  try {
    const r = await fetch(`/api/lanes/${lane}/do`, { method: 'POST', body: JSON.stringify({ words }) });
    const said = await r.json();
    tell(r.ok ? words : said.title.replace(/^panel: /, ''), !r.ok);
    if (r.ok) draw(said);
    return r.ok;
  } catch { tell('the panel does not answer', true); return false; }
}
for (const b of document.querySelectorAll('[data-do]')) b.addEventListener('click', () => say(b.dataset.do));
$('mend').addEventListener('click', () => say('clear'));
$('power').addEventListener('click', () => say(view?.powered ? 'power off' : 'power on'));
for (const r of document.querySelectorAll('[name=hand]')) r.addEventListener('change', () => say('officer ' + r.value));

// — Whom to send —

const quote = v => /^[\w.+-]+$/.test(v) || /^[[{]/.test(v) ? v : JSON.stringify(v);
const kinds = {
  name: 'surname and given names, as ["A","B"]', age: 'years', state: 'issuing state', nationality: '', code: 'document code', size: ['TD3', 'TD1'], expiry: 'days from today',
  profile: null, max_le: 'bytes', pki: null, registered: Boolean, new_document: Boolean, family: Boolean, visa: '', visa_end: 'days from today', register_face: ['match', 'no_match'],
  stays: 'as [[-20,0]]', hits: 'as {SIS="DISCREET"}', script: null, officer: ['divert', 'release', 'retry_face', 'refer_second_line'], lane: ['entry', 'exit'],
};
const picked = () => catalogue.personas.find(p => p.id === $('persona').value);
const asWord = v => typeof v === 'object' ? Array.isArray(v) ? JSON.stringify(v) : '{' + Object.entries(v).map(([k, x]) => `${k}=${JSON.stringify(x)}`).join(',') + '}' : String(v ?? '');

function choosePersona() {
  const p = picked(), box = $('fields-of');
  box.replaceChildren();
  for (const [name, kind] of Object.entries(kinds)) {
    const was = asWord(p[name]) || (kind === Boolean ? 'false' : kind && Array.isArray(kind) ? kind[0] : '');
    const of = name === 'profile' ? ['', ...catalogue.profiles] : name === 'script' ? catalogue.scripts : name === 'pki' ? ['', ...catalogue.faults.find(g => g.prefix === 'pki=').faults.map(f => f.name)] : kind === Boolean ? ['false', 'true'] : kind;
    const field = Array.isArray(of) ? el('select', {}, ...of.map(o => el('option', { value: o, textContent: o || '—', selected: o === was }))) : el('input', { value: was, placeholder: of ?? '', autocomplete: 'off', spellcheck: false });
    field.dataset.key = name;
    field.dataset.was = field.value;
    const label = el('label', {}, name.replaceAll('_', ' '), field);
    field.addEventListener('input', () => { label.classList.toggle('changed', field.value !== field.dataset.was); count(); });
    box.append(label);
  }
  const chip = el('select', {}, el('option', { value: '', textContent: 'as in the catalogue' }), ...catalogue.faults.find(g => g.prefix === 'chip.').faults.map(f => el('option', { value: f.name, textContent: `${f.name}: ${f.text}` })));
  chip.dataset.key = 'chip.'; chip.dataset.was = '';
  const nth = el('input', { value: '1', inputMode: 'numeric' });
  nth.id = 'nth';
  const label = el('label', {}, 'a fault of the chip', chip);
  chip.addEventListener('input', () => { label.classList.toggle('changed', chip.value !== ''); count(); });
  box.append(label, el('label', {}, 'n of that fault', nth));
  count();
}
function changes() {
  const out = [];
  for (const f of document.querySelectorAll('#fields-of [data-key]')) {
    if (f.value === f.dataset.was) continue;
    out.push(f.dataset.key === 'chip.' ? `chip.${f.value}=${$('nth').value || 1}` : `${f.dataset.key}=${quote(f.value)}`);
  }
  if (view && picked().lane !== view.direction && !out.some(c => c.startsWith('lane='))) out.push('lane=' + view.direction);
  return out;
}
function count() { const n = document.querySelectorAll('#fields-of .changed').length; $('changes').textContent = n ? `${n} changed` : ''; }
$('persona').addEventListener('change', choosePersona);
for (const verb of ['send', 'lay']) $(verb).addEventListener('click', () => say([verb, picked().id, ...changes()].join(' ')));

function fillPersonas() {
  const was = $('persona').value, groups = {};
  for (const p of catalogue.personas) {
    const here = p.lane === view.direction;
    (groups[here ? `of ${p.lane} lanes` : `of ${p.lane} lanes, sent here`] ??= []).push(el('option', { value: p.id, textContent: `${p.id} ${p.name[1]} ${p.name[0]}, ${p.state}${p.script ? ', ' + p.script.replace('_', ' ') : ''} → ${p.outcome.replace('_', ' ')} ${p.reason ?? ''}` }));
  }
  $('persona').replaceChildren(...Object.entries(groups).sort(([a]) => a.endsWith('sent here') ? 1 : -1).map(([label, list]) => { const g = el('optgroup', { label }); g.append(...list); return g; }));
  if (was) $('persona').value = was;
  choosePersona();
}

// — Faults —

function fillFaults() {
  for (const g of catalogue.faults.filter(g => !g.change)) {
    const list = el('div', { className: 'list' });
    const details = el('details', {}, el('summary', { textContent: g.name }), list);
    details.open = g.name === 'Gate';
    if (g.prefix === 'register.') {
      const names = g.faults.map(f => f.name.split('=')), uniq = i => [...new Set(names.map(n => n[i]))];
      const what = el('select', { ariaLabel: 'What of the register' }, ...uniq(0).map(o => el('option', { value: o, textContent: o }))), how = el('select', { ariaLabel: 'How it fails' }, ...uniq(1).map(o => el('option', { value: o, textContent: `${o}: ${g.faults.find(f => f.name.endsWith('=' + o)).text}` })));
      const break_ = el('button', { textContent: 'Break it' }), mend = el('button', { textContent: 'Mend it' });
      break_.addEventListener('click', () => say(`fault register.${what.value}=${how.value}`));
      mend.addEventListener('click', () => say(`clear register.${what.value}`));
      list.append(what, how, break_, mend);
    } else {
      for (const f of g.faults) {
        const name = g.prefix + f.name, b = el('button', { textContent: f.text, title: name });
        b.dataset.fault = name;
        if (g.prefix === 'mrz.') b.addEventListener('click', () => say('fault ' + name));
        else { b.ariaPressed = 'false'; b.addEventListener('click', () => say((b.ariaPressed === 'true' ? 'clear ' : 'fault ') + name)); }
        list.append(b);
      }
    }
    $('groups').append(details);
  }
}

// — The plan —

const screens = { S1: 'lay your document here', S2: 'reading, leave it there', S3: 'take your document', S4: 'stand on the marks', S5: 'look at the camera', S6: 'look at the camera', S7: 'one person only', S8: 'take your luggage', S9: 'please wait', S10: 'you may go', S11: 'see the officer', S12: 'closed', S13: 'leave the lane' };
const zones = ['S0 approach', 'S1 entry curtain', 'S2 entry half', 'S3 exit half', 'S4 exit curtain', 'S5 beyond', 'S6 luggage', 'S7 tailgate'];
const tone = s => /^(READY|IDLE|OCCUPIED|RELEASE|ENTRY_OPEN|EXIT_OPEN)$/.test(s) ? 'good' : /^(FAULT|FALLBACK|EVACUATE|HOLD|OUT_OF_SERVICE|MULTI)$/.test(s) ? 'bad' : /^(REVIEW|LUGGAGE|MAINTENANCE|SAFE_CLOSED|BOOT|WAIT_DB)$/.test(s) ? 'mid' : '';
const names = { traveller: 'the traveller', second: 'the second person', bag: 'the bag' };
for (const z of zones) $('sensors').append(el('li', { textContent: z }));

// On a telephone the plan ends where people come from and go to.
const narrow = matchMedia('(max-width: 759px)'), fit = () => $('scene').setAttribute('viewBox', narrow.matches ? '-128 -36 384 232' : '-170 -34 520 226');
narrow.addEventListener('change', fit);
fit();

// Everything that moves goes smoothly from where it was drawn to where it is.
const shown = {}; // by what: value now and aimed at
function glide(key, aim, apply) { const s = shown[key] ??= { now: aim }; s.aim = aim; s.apply = apply; if (!animating) { animating = true; requestAnimationFrame(step); } }
let animating = false, before = 0;
function step(t) {
  const dt = Math.min(100, t - before || 16);
  before = t;
  let more = false;
  for (const s of Object.values(shown)) {
    const d = s.aim - s.now;
    if (still.matches || Math.abs(d) < .002 || Math.abs(d) > 2.5) s.now = s.aim; else { s.now += d * (1 - Math.exp(-dt / 70)); more = true; }
    s.apply(s.now);
  }
  animating = more;
  if (more) requestAnimationFrame(step); else before = 0;
}
function door(id, leaf) {
  glide(id, leaf.open / 100, p => {
    const a = 86 * p;
    document.querySelector(`#${id} .upper`).style.transform = `rotate(${-a}deg)`;
    document.querySelector(`#${id} .lower`).style.transform = `rotate(${a}deg)`;
  });
  $(id).setAttribute('class', 'door ' + (leaf.state === 'JAMMED' || leaf.state === 'FORCED' ? 'broken' : leaf.state === 'CLOSED_LOCKED' ? 'locked' : leaf.open >= 80 ? 'open' : 'moving'));
}

const cm = x => x * 100;
function body(b) {
  let g = $('body-' + b.id);
  if (!g) {
    g = svg('g', { id: 'body-' + b.id });
    if (b.bag) {
      g.append(svg('path', { d: 'M-5 -15v-6h10v6' }), svg('rect', { x: -9, y: -15, width: 18, height: 28, rx: 3 }));
      g.setAttribute('class', 'bagbody');
    } else {
      g.append(svg('circle', { r: 34, class: 'reach' }), svg('ellipse', { rx: 12, ry: 23, class: 'shoulders' }), svg('path', { d: 'M8 -5 L16 0 L8 5Z', class: 'nose' }), svg('circle', { r: 9, class: 'head' }), svg('text', { y: -28 }));
      for (const [k, v] of Object.entries({ role: 'slider', tabindex: 0, 'aria-valuemin': -220, 'aria-valuemax': 400, 'aria-label': names[b.id] ?? b.id })) g.setAttribute(k, v);
      g.addEventListener('keydown', e => {
        const x = { ArrowRight: b => b.x + .4, ArrowLeft: b => b.x - .4, ArrowUp: b => b.x + .4, ArrowDown: b => b.x - .4, Home: () => -2.1, End: () => 4 }[e.key];
        const at = view.bodies.find(o => o.id === b.id);
        if (x && at) { e.preventDefault(); say(`walk ${b.id} ${Math.max(-2.2, Math.min(4, x(at))).toFixed(2)}`); }
      });
      g.addEventListener('pointerdown', e => grab(e, b.id));
    }
    $('bodies').append(g);
  }
  if (!b.bag) {
    g.setAttribute('class', `body ${b.id}${view.person?.steered && b.id === 'traveller' ? ' led' : ''}`);
    g.setAttribute('aria-valuenow', Math.round(cm(b.x)));
    g.setAttribute('aria-valuetext', `${b.x.toFixed(1)} metres behind the entry leaf`);
    g.lastChild.textContent = b.id === 'traveller' ? view.person?.id ?? '' : '2nd';
  }
  const turned = b.target < b.x - .01 ? -1 : 1, y = b.bag ? 118 : b.id === 'second' ? 92 : 84;
  glide('body-' + b.id, b.x, x => { g.setAttribute('transform', `translate(${cm(x).toFixed(1)} ${y})`); for (const part of g.querySelectorAll('.shoulders,.nose,.head')) part.setAttribute('transform', `scale(${turned} 1)`); });
}

// Dragging leads a person: they walk to where the hand is, as fast as people do.
let drag;
const place = e => { const p = new DOMPoint(e.clientX, e.clientY).matrixTransform($('scene').getScreenCTM().inverse()); return Math.max(-2.2, Math.min(4, p.x / 100)); };
function grab(e, id) {
  e.preventDefault();
  e.currentTarget.focus();
  drag = { id, sent: 0, x: null };
  $('scene').setPointerCapture(e.pointerId);
}
function led(e, end) {
  if (!drag) return;
  const x = place(e), now = Date.now();
  if (Math.abs(x - (drag.x ?? 99)) > .03 && (end || now - drag.sent > 120)) { drag.sent = now; drag.x = x; say(`walk ${drag.id} ${x.toFixed(2)}`); }
  if (end) drag = undefined;
}
$('scene').addEventListener('pointermove', e => led(e));
$('scene').addEventListener('pointerup', e => led(e, true));
$('scene').addEventListener('pointercancel', () => { drag = undefined; });
$('scene').addEventListener('dblclick', e => { if (view?.bodies.some(b => b.id === 'traveller')) say(`walk traveller ${place(e).toFixed(2)}`); });

function draw(v) {
  const first = !view || view.name !== v.name;
  view = v;
  if (first) fillPersonas();
  $('gate').textContent = v.powered ? 'gate ' + v.gate : 'gate without power';
  $('gate').dataset.tone = v.powered ? tone(v.gate) : 'bad';
  $('lane').textContent = v.seen.state ? 'lane ' + v.seen.state : 'no lane answers';
  $('lane').dataset.tone = v.seen.state ? tone(v.seen.state) : 'bad';
  door('entry', v.entry); door('exit', v.exit);
  for (const e of document.querySelectorAll('[data-zone]')) e.classList.toggle('on', !!(v.zones >> e.dataset.zone & 1));
  [...$('sensors').children].forEach((e, i) => { e.className = v.zones >> i & 1 ? i > 5 ? 'bad' : 'on' : ''; });
  for (const e of document.querySelectorAll('[data-lamp]')) e.classList.toggle('on', !!(v.outputs >> e.dataset.lamp & 1));
  $('reader').setAttribute('class', v.document ? 'laid' : '');
  $('screen-id').textContent = v.seen.screen || '—';
  $('screen-text').textContent = screens[v.seen.screen] ?? '';
  for (const g of [...$('bodies').children]) if (!v.bodies.some(b => 'body-' + b.id === g.id)) { delete shown[g.id]; g.remove(); }
  v.bodies.forEach(body);
  const camera = v.injected.some(f => f.startsWith('camera.'));
  $('camera').setAttribute('class', camera ? 'bad' : ''); $('cone').setAttribute('class', camera ? 'bad' : '');
  const p = v.person;
  $('present').textContent = p ? `${p.id} ${p.name}, ${p.state}${p.edited ? ', changed' : ''}: ${p.steered ? 'led by you' : p.script ? 'by script: ' + p.script.replace('_', ' ') : 'follows the prompts'}` : 'Nobody is in the lane. Drag a person on the plan, or focus them and use the arrow keys, to lead them.';
  for (const b of document.querySelectorAll('#lead button:not([data-do=bag]):not([data-do=lift]):not([data-do=help])')) b.disabled = !p;
  $('ended').replaceChildren(...v.ended.slice(0, 6).map(e => {
    const said = `${e.outcome.replaceAll('_', ' ')} ${e.reason}`.trim(), ok = !e.expected || e.expected === `${e.outcome} ${e.reason}`.trim();
    return el('li', {}, el('b', { textContent: `${e.persona} ${e.name}` }), el('span', { textContent: said, className: ok ? e.expected ? 'good' : '' : 'bad' }), el('span', { textContent: (e.seconds ? e.seconds.toFixed(1) + ' s' : '') + (e.expected ? ok ? ' ✓ as in the catalogue' : ` ✗ the catalogue says ${e.expected}` : '') }));
  }));
  for (const b of document.querySelectorAll('[data-fault][aria-pressed]')) b.ariaPressed = String(v.injected.includes(b.dataset.fault));
  $('on').textContent = v.injected.length ? `${v.injected.length} on` : '';
  $('power').ariaPressed = String(!v.powered);
  for (const r of document.querySelectorAll('[name=hand]')) r.checked = r.value === (v.by_hand ? 'hand' : 'script');
  const troubles = [...v.seen.unfit ?? [], ...v.alarms.map(a => 'alarm ' + a), ...v.faults.map(f => 'fault ' + f), ...(v.seen.alerts ?? []).map(a => 'alert ' + a)];
  $('case').textContent = [v.seen.reason && `Case open: ${v.seen.reason}.`, troubles.join(', ')].filter(Boolean).join(' ') || 'Nothing asks for an officer.';
  if (v.problem) tell(v.problem, true);
  $('record').ariaPressed = String(v.recording > 0);
  $('record').textContent = v.recording ? `Stop recording (${v.recording})` : 'Record';
  const play = v.play;
  $('halt').hidden = !play?.running; $('play').hidden = !!play?.running;
  $('progress').className = play?.running ? '' : play?.ok ? 'good' : 'bad';
  $('progress').textContent = !play ? '' : play.running ? `${play.line || 'waiting for the lane'}${play.line ? ' of ' + play.of + ': ' + play.text : ''}` : play.ok ? `As awaited, in ${play.seconds.toFixed(1)} s.` : `Line ${play.line}, ${play.text || 'before it began'}: ${(play.problem ?? '').replace(/^panel: /, '')}`;
}

// — Scenarios —

$('record').addEventListener('click', async () => {
  const at = `/api/lanes/${lane}/recording`;
  if (!view.recording) { await fetch(at, { method: 'PUT' }); return; }
  $('text').value = await (await fetch(at)).text();
  await fetch(at, { method: 'DELETE' });
});
$('play').addEventListener('click', async () => {
  const r = await fetch(`/api/lanes/${lane}/play`, { method: 'POST', body: $('text').value });
  if (r.status === 400) { $('progress').className = 'bad'; $('progress').textContent = (await r.json()).title; }
});
$('halt').addEventListener('click', () => fetch(`/api/lanes/${lane}/play`, { method: 'DELETE' }));
$('save').addEventListener('click', () => {
  const link = el('a', { href: URL.createObjectURL(new Blob([$('text').value], { type: 'text/plain' })), download: 'scenario.txt' });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});
$('load').addEventListener('change', async e => { const f = e.target.files[0]; if (f) $('text').value = await f.text(); e.target.value = ''; });

// — Wires —

const most = 600;
let lines = [];
const wanted = l => { const wire = document.querySelector('[name=wire]:checked').value; return (!wire || l.wire === wire) && (!$('onlybad').checked || l.bad); };
const clock = ms => { const d = new Date(ms); return d.toTimeString().slice(0, 8) + '.' + String(d.getMilliseconds()).padStart(3, '0'); };
function row(l) {
  const d = el('details', {}, el('summary', {}, el('time', { textContent: clock(l.at) }), el('span', { className: 'w', textContent: l.wire }), el('span', { textContent: l.text })));
  d.addEventListener('toggle', () => { if (d.open && d.children.length === 1) d.append(el('code', { textContent: l.raw })); });
  return el('li', { className: l.wire + (l.bad ? ' bad' : '') }, d);
}
function wires(more) {
  lines = [...lines, ...more].slice(-most);
  if ($('hold').checked) return;
  const list = $('lines'), end = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(...more.filter(wanted).map(row));
  while (list.children.length > most) list.firstChild.remove();
  if (end) list.scrollTop = list.scrollHeight;
}
function again() { $('lines').replaceChildren(...lines.filter(wanted).map(row)); $('lines').scrollTop = $('lines').scrollHeight; }
for (const e of [...document.querySelectorAll('[name=wire]'), $('onlybad'), $('hold')]) e.addEventListener('change', again);
$('wipe').addEventListener('click', () => { lines = []; again(); });

// — Following a lane —

let events;
function follow(name) {
  lane = name;
  events?.close();
  lines = []; again();
  for (const b of $('lanes').children) b.toggleAttribute('aria-current', b.textContent === name);
  events = new EventSource(`/api/lanes/${name}/events`);
  events.addEventListener('view', e => { $('link').textContent = ''; draw(JSON.parse(e.data)); });
  events.addEventListener('trace', e => wires(JSON.parse(e.data)));
  events.onerror = () => { $('link').textContent = 'the panel does not answer'; lines = []; $('lines').replaceChildren(); };
}
function watch() { // the next picture when this one has come, and not too often
  const img = $('picture'), next = ms => setTimeout(() => { if (document.hidden || !view) return next(1000); img.src = `/api/lanes/${lane}/camera?${Date.now()}`; }, ms);
  img.addEventListener('load', () => { $('eye').classList.remove('none'); next(400); });
  img.addEventListener('error', () => { $('eye').classList.add('none'); next(1500); });
  next(100);
}

catalogue = await (await fetch('/api/catalogue')).json();
if (catalogue.lanes.length > 1) for (const n of catalogue.lanes) { const b = el('button', { textContent: n }); b.addEventListener('click', () => follow(n)); $('lanes').append(b); }
for (const v of catalogue.verbs) $('verbs').append(el('dt', { textContent: `${v.name} ${v.args}` }), el('dd', { textContent: v.text }));
fillFaults();
follow(catalogue.lanes.includes(lane) ? lane : catalogue.lanes[0]);
watch();
