// One lane and one case as an officer sees them, at the lane and at the site.
import { because, classes, codes, reasons, registers, whys } from './words.js';
import { day, el, label, shape, words, years } from './dom.js';

// gate is the lane from above: leaves as far open as they are, who is inside.
export function gate(v) {
  const g = v.gate, leaf = (x, open) => shape('rect', { x, y: 22, width: 8, height: 136 * (1 - .85 * open / 100), rx: 2, class: open > 0 ? 'leaf open' : 'leaf' });
  const n = g.occupied ? Math.min(4, Math.max(1, g.persons)) : 0, way = v.direction === 'exit' ? 'the way out of the country' : 'the way into the country';
  return shape('svg', { viewBox: '0 0 560 164', class: 'gate', role: 'img', 'aria-label': `${way}: gate ${words(g.state)}, ${g.occupied ? 'occupied' : 'empty'}` },
    shape('rect', { x: 150, y: 22, width: 260, height: 136, class: g.occupied ? 'trap full' : 'trap' }), shape('path', { d: 'M8 22h544M8 158h544', class: 'wall' }),
    shape('path', { d: 'M40 90h60m-18-16 18 16-18 16M452 90h60m-18-16 18 16-18 16', class: 'way' }), leaf(146, g.entry), leaf(406, g.exit),
    ...Array.from({ length: n }, (_, i) => shape('circle', { cx: 250 + 44 * i, cy: 90, r: 17, class: 'person' })), ...(g.bag ? [shape('path', { d: 'M330 116h34v26h-34zM338 116v-8h18v8', class: 'bag' })] : []),
    label(150, 14, 'entry'), label(410, 14, 'exit'));
}

// devices lists what the lane depends on, the broken ones in full.
export const devices = list => el('ul', { className: 'devices' }, (list ?? []).map(d => el('li', { className: d.ok ? 'device' : 'device bad' }, el('span', { className: 'mark ' + (d.ok ? 'good' : 'bad'), textContent: d.ok ? '✓' : '✗' }), ` ${d.name}${d.why ? ': ' + d.why.replace(/^(camera|matcher): /, '') : ''}`)));

// show builds the card of a case. pic names the address of a picture, decide is
// the row of decisions, or nothing for those who only look.
export function show(k, pic, decide) {
  const kids = [el('h3', { className: 'name' }, k.name || 'Reading…', el('span', { className: 'tags' }, [k.issuer, classes[k.class] ?? k.class].filter(Boolean).map(textContent => el('span', { className: 'tag', textContent }))))];
  if (k.reason) kids.push(el('p', { className: 'why', textContent: whys[k.reason] ?? because[k.reason] ?? k.reason }));
  kids.push(el('div', { className: 'two' }, faces(k, pic), el('div', {}, papers(k.document), stay(k))));
  if (k.face) kids.push(score(k.face));
  if (decide) kids.push(decide);
  if (k.calendar) kids.push(el('img', { className: 'days', src: pic('days'), alt: 'Days of stay by month' }));
  kids.push(el('div', { className: 'two lists' },
    el('div', {}, el('h4', { textContent: `Document${k.access ? ' · ' + k.access : ''}${k.verdict ? ' · ' + words(k.verdict) : ''}` }), checks(k.checks)),
    el('div', {}, el('h4', { textContent: 'Registers' }), checks(k.answers))));
  return kids;
}

const nobody = () => shape('svg', { viewBox: '0 0 90 120', 'aria-hidden': 'true', class: 'nobody' }, shape('circle', { cx: 45, cy: 42, r: 22 }), shape('path', { d: 'M5 120c0-30 16-46 40-46s40 16 40 46z' }));

function faces(k, pic) {
  const frame = el('div', { className: 'faces' });
  for (const [which, name, there] of [['chip', 'In the chip', k.chip], ['live', 'At the camera', k.live]]) {
    frame.append(el('figure', {}, there ? el('img', { src: pic(which), alt: which + ' face' }) : nobody(), el('figcaption', { textContent: there ? name : name + ': not yet' })));
  }
  if (!k.chip || !k.live) return frame;
  const flip = el('button', { type: 'button', textContent: 'Flip between' }), zoom = el('button', { type: 'button', textContent: 'Larger' });
  const toggle = (b, name) => { const on = frame.classList.toggle(name); b.setAttribute('aria-pressed', on); frame.closest('.two')?.classList.toggle('one', frame.matches('.large')); };
  flip.onclick = () => toggle(flip, 'stacked');
  zoom.onclick = () => toggle(zoom, 'large');
  frame.onclick = () => frame.classList.contains('stacked') && frame.classList.toggle('other');
  return el('div', {}, frame, el('div', { className: 'row small' }, flip, zoom));
}

// papers is what the document says.
function papers(d) {
  if (!d?.type) return null;
  const row = (name, textContent) => textContent ? [el('dt', { textContent: name }), el('dd', { textContent })] : [];
  return el('dl', { className: 'papers' }, row('document', `${d.type} ${d.number}`.trim()), row('nationality', d.nationality), row('born', d.birth ? `${day(d.birth)} (${years(d.birth)})` : ''), row('sex', { M: 'male', F: 'female' }[d.sex] ?? d.sex), row('expires', d.expiry ? day(d.expiry) : ''));
}

function stay(k) {
  if (!k.stay) return null;
  const { Status, Days, LastDay, Overstay, Bilateral } = k.stay;
  const text = Overstay ? `${Overstay} days over` : Status !== 'ok' ? words(Status) : `${Days} ${Days === 1 ? 'day' : 'days'}${LastDay ? ', until ' + day(LastDay) : ''}`;
  return el('p', { className: 'stay' }, el('b', { textContent: 'Stay: ' }), text, Bilateral ? '. A bilateral agreement may allow more: look before you decide.' : '');
}

function score(f) {
  const bar = shape('svg', { viewBox: '0 0 200 16', class: 'score', role: 'img', 'aria-label': `${f.shown} of 100, limit 60` }, shape('rect', { x: 0, y: 5, width: 200, height: 6, rx: 3, class: 'track' }), shape('rect', { x: 0, y: 5, width: 2 * f.shown, height: 6, rx: 3, class: f.shown >= 60 ? 'fill good' : 'fill bad' }), shape('path', { d: 'M120 0v16', class: 'limit' }));
  return el('div', { className: 'facescore' }, bar, el('p', { textContent: `Face: ${words(f.result)}, ${f.shown} of 100 (limit 60), ${f.attempts} ${f.attempts === 1 ? 'attempt' : 'attempts'} · attack detection: ${f.pad}` }));
}

const checks = list => el('ul', { className: 'checks' }, (list ?? []).map(c => {
  const [mark, tone] = codes[c.code] ?? ['–', 'dim'];
  return el('li', {}, el('span', { className: 'mark ' + tone, textContent: mark }), el('span', { textContent: registers[c.name] ?? c.name }), el('em', { textContent: words(c.code) + (c.reason ? ' · ' + c.reason : '') }));
}));

// The five words, and what each does with the person inside.
const decisions = { release: ['Release', 'opens the exit'], divert: ['Divert', 'back out, to the desk'], hold: ['Hold', 'stays inside'], retry_face: ['Face again', 'the camera looks anew'], refer_second_line: ['Second line', 'back out, for a closer check'] };
// denied is why a decision is not to be had, or nothing.
const denied = { release: k => !k.review ? 'after “Back to review”' : !k.release ? 'never at the gate, for this' : '', retry_face: k => k.review ? '' : 'after “Back to review”' };

// decide is the row of decisions: the five words, a reason from the list, a
// remark. send gets the word and answers when the lane has; one word at a time.
// What was typed into before, the row that this one replaces, stays. Release
// stands out only where a confirmation is all that is asked: no colour speaks for
// it against a check.
export function decide(k, send, before) {
  const reason = el('select', { ariaLabel: 'reason' }, el('option', { value: '', textContent: 'usual reason' }), Object.entries(reasons).map(([decision, list]) => el('optgroup', { label: decisions[decision][0] }, list.map(value => el('option', { value, textContent: words(value) })))));
  const text = el('input', { placeholder: k.release === 2 ? 'remark: to release, say why' : 'remark', ariaLabel: 'remark', maxLength: 500 });
  const away = (k.answers ?? []).some(a => ['not_consulted', 'malformed'].includes(a.code));
  const reference = away ? el('input', { placeholder: 'reference of a consultation elsewhere', ariaLabel: 'reference', maxLength: 100 }) : null;
  const buttons = Object.entries(decisions).map(([decision, [name, does]], i) => {
    const no = denied[decision]?.(k), two = decision === 'release' && k.release === 2 ? ` · ${k.signed?.length ?? 0} of 2 officers` : '';
    const b = el('button', { type: 'button', className: decision === 'release' && k.reason === 'OFFICER' ? 'main' : '', disabled: !!no }, el('span', {}, el('kbd', { textContent: i + 1 }), ` ${name}`), el('small', { textContent: no || does + two }));
    b.dataset.decision = decision;
    b.title = `Unless you choose a reason: ${words(reasons[decision][0])}`;
    b.onclick = async () => {
      if (waiting) return;
      waiting = true;
      const able = buttons.filter(x => !x.disabled);
      for (const x of able) x.disabled = true;
      try { await send({ decision, reason: reason.value || reasons[decision][0], text: text.value, reference: reference?.value ?? '' }); } finally {
        waiting = false;
        for (const x of able) x.disabled = false;
      }
    };
    return b;
  });
  const row = el('div', { className: 'decide', role: 'group', ariaLabel: 'decision' }, el('div', { className: 'says' }, reason, text, reference), el('div', { className: 'choices' }, buttons));
  row.dataset.transaction = k.transaction;
  if (before?.dataset.transaction === k.transaction) for (const x of row.querySelectorAll('input,select')) x.value = before.querySelector(`[aria-label=${x.ariaLabel}]`)?.value ?? '';
  return row;
}

// While a word is on its way the page asks before it is left.
let waiting = false;
addEventListener('beforeunload', e => { if (waiting) e.preventDefault(); });

// pressed is the decision that a number key stands for.
export function pressed(e) {
  const b = /^[1-5]$/.test(e.key) && document.querySelectorAll('.choices > button')[+e.key - 1];
  return b && !b.disabled ? b : null;
}

// settle is the form that closes an open case: did the traveller cross?
export function settle(c, lead, send) {
  const found = el('select', { required: true, ariaLabel: 'finding' }, [['', 'finding…'], ['crossed', 'crossed'], ['not_crossed', 'did not cross']].map(([value, textContent]) => el('option', { value, textContent })));
  const form = el('form', { className: 'row settle' }, lead, el('span', { textContent: `${new Date(c.at).toLocaleString('en-GB')} · ${words(c.why)}` }), found, el('button', { textContent: 'Settle' }));
  form.onsubmit = e => { e.preventDefault(); return send(found.value); };
  return form;
}
