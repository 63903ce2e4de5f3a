// The floor plan: every lane from above, in its hall. A thousand lanes change
// faster than anybody reads. Lanes stand in banks; banks that nobody sees are
// left, the tiles of the others are drawn in slices, and what counts over all
// lanes follows four times a second, each in a task of its own: the page stays
// quick to touch.
import { because, classes, short, tones } from './words.js';
import { $, ago, byNumber, el, words } from './dom.js';
import { go, here, lanes, state, watched } from './state.js';

const tiles = new Map(), bankOf = new Map(); // by lane
const stale = new Set(), slice = 3; // ms
const size = 40; // lanes in a bank, at most
export const tone = l => state(l) === 'NOT_SEEN' ? 'lost' : tones[state(l)] ?? '';

const sight = new IntersectionObserver(list => {
  for (const { target, isIntersecting } of list) {
    target.seen = isIntersecting;
    if (isIntersecting) for (const t of target.querySelectorAll('.tile')) stale.add(t.dataset.lane);
  }
  soon();
}, { rootMargin: '200px' });

// changed notes that a lane has to be drawn again, if somebody can see it.
export function changed(id) { if (bankOf.get(id)?.seen) stale.add(id); }

let rounds = [], drawing = false, counted = 0, later = 0;
// each names what is to follow the lanes, four times a second.
export function each(...list) { rounds = list; }
export function soon() { if (!drawing) { drawing = true; setTimeout(draw); } }
function draw() {
  const end = performance.now() + slice;
  for (const id of stale) {
    stale.delete(id);
    if (here.me) tile(id);
    if (performance.now() > end) { setTimeout(draw); return; }
  }
  drawing = false;
  if (!here.me || Date.now() - counted < 250) { later ||= setTimeout(() => { later = 0; soon(); }, 250); return; }
  counted = Date.now();
  for (const r of rounds) setTimeout(() => { if (here.me) r(); });
}

// build makes the plan anew: when the officer has signed in and when a lane is
// heard that was not known.
export function build() {
  const placed = new Set(here.me.plan.areas?.flatMap(a => a.lanes) ?? []), rest = [...lanes.keys()].filter(id => !placed.has(id)).sort(byNumber);
  const areas = [...(here.me.plan.areas ?? [])];
  if (rest.length) areas.push({ name: areas.length ? 'Elsewhere' : 'All lanes', lanes: rest });
  sight.disconnect(); tiles.clear(); bankOf.clear(); stale.clear();
  $('areas').replaceChildren(...areas.map(a => el('section', { className: 'area' }, el('h3', { textContent: a.name }), banks(a.lanes))));
  for (const b of document.querySelectorAll('.bank')) sight.observe(b);
  find();
}

function banks(ids) {
  const list = [];
  for (let i = 0; i < ids.length; i += size) {
    const some = ids.slice(i, i + size), bank = el('div', { className: 'bank' }, some.map(newTile));
    for (const id of some) bankOf.set(id, bank);
    list.push(ids.length > size ? el('h4', { textContent: `${some[0]} – ${some.at(-1)}` }) : null, bank);
  }
  return list;
}

function newTile(id) {
  const b = el('button', { className: 'tile', type: 'button', ariaLabel: 'lane ' + id }, el('b', { textContent: id }), el('span', { className: 'what' }), el('span', { className: 'strip' }, el('i'), el('i'), el('i')), el('span', { className: 'sub' }));
  b.dataset.lane = id;
  b.onclick = () => go('lanes', id);
  tiles.set(id, b);
  return b;
}

// Where the traveller stands on the strip: before the entry, in it, between the
// leaves, in the exit.
const stands = { DOC_READ: 'before', ELIGIBLE: 'before', TAKE_DOC: 'before', DIVERT_OUT: 'before', ENTER: 'entry', SEALING: 'entry', DIVERT_IN: 'entry', RETURNING: 'before', RELEASE: 'exit', CLEARING: 'exit' };
const where = v => stands[v.state] ?? (v.gate?.occupied || ['INSIDE', 'DECIDE', 'WAIT_DB', 'REVIEW', 'INTEND', 'HOLD', 'MULTI'].includes(v.state) ? 'inside' : '');

const put = (t, name, value) => { if (t.dataset[name] !== value) t.dataset[name] = value; };
const text = (e, to) => { if (e.textContent !== to) e.textContent = to; };

// tile draws one lane.
export function tile(id) {
  const t = tiles.get(id), l = lanes.get(id) ?? { id, away: true };
  if (!t) return;
  const v = l.view, gone = l.away || !v, u = gone ? null : v.under, unanswered = gone ? 0 : (v.alerts ?? []).filter(a => !a.by).length;
  const sub = gone ? (l.seen ? `for ${ago(l.seen)}` : 'never seen') : u ? [classes[u.class] ?? u.class, because[u.reason] ?? u.reason].filter(Boolean).join(' · ') : [...(v.devices ?? []).filter(d => !d.ok).map(d => d.name), l.problem ? 'journal refused' : ''].filter(Boolean).join(', ');
  const what = short[state(l)] ?? words(state(l));
  text(t.children[1], what);
  text(t.children[3], sub);
  put(t, 'tone', tone(l));
  put(t, 'at', gone ? '' : where(v));
  put(t, 'open', gone ? '' : [v.gate?.entry > 0 ? 'entry' : '', v.gate?.exit > 0 ? 'exit' : ''].join(''));
  const called = `lane ${id}: ${what}${sub ? ', ' + sub : ''}${unanswered ? ', alarm' : ''}${watched.has(id) ? ', watched by you' : ''}`;
  if (t.ariaLabel === called && t.ariaPressed === String(id === here.chosen)) return;
  t.ariaLabel = called;
  t.ariaPressed = id === here.chosen;
  t.classList.toggle('waits', !!u?.review);
  t.classList.toggle('rings', unanswered > 0);
  t.classList.toggle('mine', watched.has(id));
}

// summary counts over all lanes.
export function summary() {
  const n = { open: 0, busy: 0, call: 0, closed: 0, lost: 0 };
  for (const l of lanes.values()) {
    const s = state(l);
    n[s === 'NOT_SEEN' ? 'lost' : s === 'IDLE' ? 'open' : s === 'OUT_OF_SERVICE' ? 'closed' : tones[s] ? 'call' : 'busy']++;
  }
  const list = [['good', n.open, 'open'], ['', n.busy, 'in use'], ['mid', n.call, 'need somebody'], ['bad', n.closed, 'closed'], ['lost', n.lost, 'not seen']].filter(([, x]) => x), key = JSON.stringify(list);
  if (key !== summary.key) {
    summary.key = key;
    $('sums').replaceChildren(...list.map(([t, x, said]) => { const e = el('span', { className: 'sum', textContent: `${x} ${said}` }); e.dataset.tone = t; return e; }));
  }
  text($('watching'), !here.me.rights.includes('attend') ? '' : watched.size ? `You watch ${watched.size} of at most ${here.me.ratio}.` : 'You watch no lane yet: choose one.');
}

// find leaves the lanes whose name or state has what is asked for.
export function find() {
  const want = $('find').value.trim().toLowerCase();
  for (const [id, t] of tiles) t.hidden = want && !id.toLowerCase().includes(want) && !(short[state(lanes.get(id) ?? {})] ?? '').includes(want);
}

// step moves from tile to tile; up and down by what lies there.
export function step(e) {
  const all = [...document.querySelectorAll('.tile:not([hidden])')], at = all.indexOf(e.target), here = e.target.getBoundingClientRect();
  let to = all[at + (e.key === 'ArrowRight' ? 1 : e.key === 'ArrowLeft' ? -1 : 0)];
  if (e.key === 'ArrowDown') to = all.slice(at + 1).find(t => { const r = t.getBoundingClientRect(); return r.top > here.top + 4 && r.right > here.left + 4; });
  if (e.key === 'ArrowUp') to = all.slice(0, at).reverse().find(t => { const r = t.getBoundingClientRect(); return r.top < here.top - 4 && r.left < here.right - 4; });
  if (to) { e.preventDefault(); to.focus(); }
}

export function clear() { sight.disconnect(); tiles.clear(); bankOf.clear(); stale.clear(); $('areas').replaceChildren(); summary.key = ''; }
