// Cases that wait, and alarms: they stay until somebody has said by name that
// they see to it.
import { alerts, say as means, whys } from './words.js';
import { $, again, ago, clock, el, words } from './dom.js';
import { go, here, lanes, may, tell, watched } from './state.js';
import { said } from './card.js';
import { seen, stopped } from './releases.js';

const waits = l => !l.away && l.view && (l.view.under?.review || ['HOLD', 'MULTI', 'LUGGAGE'].includes(l.view.state));

// queue lists the cases, those for a decision first, each by age.
export function queue() {
  const list = [...lanes.values()].filter(waits).sort((a, b) => (b.view.under?.review ? 1 : 0) - (a.view.under?.review ? 1 : 0) || a.view.since - b.view.since);
  const key = JSON.stringify(list.map(l => [l.id, l.view.state, l.view.under?.reason, here.chosen === l.id]));
  $('waiting').textContent = list.length || '';
  $('no-cases').hidden = list.length > 0;
  if (key !== queue.key) {
    queue.key = key;
    $('cases').replaceChildren(...list.map(l => {
      const b = el('button', { type: 'button', className: 'case' }, el('b', { textContent: l.id }), el('span', { textContent: l.view.under?.review ? whys[l.view.under.reason] ?? 'A decision' : means[l.view.state] }), el('time', {}));
      b.ariaPressed = here.chosen === l.id;
      b.onclick = () => go('lanes', l.id);
      b.dataset.since = l.view.since;
      return el('li', {}, b);
    }));
  }
  for (const b of $('cases').querySelectorAll('button')) b.lastElementChild.textContent = ago(+b.dataset.since);
}

// The card is lower by what stands above it, so that its decisions stay in sight.
const above = { '--header': document.querySelector('header'), '--alarms': $('alarms') };
const tall = new ResizeObserver(() => { for (const [name, e] of Object.entries(above)) document.documentElement.style.setProperty(name, e.offsetHeight + 'px'); });
for (const e of Object.values(above)) tall.observe(e);

// Whoever watches a lane answers its alarms. One that nobody has answered in
// answerBy goes to those who lead: it stands first for them and rings.
const answerBy = 30000; // ms
const leads = () => ['supervisor', 'shift_lead'].includes(here.me.role);
const late = a => Date.now() - a.at > answerBy;
const mine = a => watched.has(a.lane) || !(lanes.get(a.lane)?.view?.officers ?? []).length || late(a) && leads();
const unanswered = () => [...lanes.values()].filter(l => !l.away).flatMap(l => (l.view?.alerts ?? []).filter(a => !a.by).map(a => ({ ...a, lane: l.id }))).sort((a, b) => (mine(b) ? 1 : 0) - (mine(a) ? 1 : 0) || a.at - b.at);
const text = a => a.kind === 'help' ? 'A traveller calls for help: answer by the lane’s voice link' : alerts[a.kind] ?? words(a.kind);

export function bells() {
  const list = unanswered(), key = JSON.stringify([list.map(a => [a.lane, a.id, a.again, late(a), mine(a)]), stopped]);
  if (key === bells.key) return;
  const rings = list.filter(mine).length + stopped.length;
  if (rings > (bells.rings ?? 0)) ring();
  bells.key = key; bells.rings = rings;
  document.title = (list.length + stopped.length ? `(${list.length + stopped.length}) ` : '') + `${here.me.site} console`;
  $('alarms').replaceChildren(...stopped.map(halted), ...list.slice(0, 5).map(alarm), list.length > 5 ? el('div', { className: 'alarm', textContent: `and ${list.length - 5} more` }) : '');
  remind();
}

function alarm(a) {
  const show = el('button', { type: 'button', textContent: 'Show' }), answer = el('button', { type: 'button', className: 'main', textContent: a.kind === 'help' ? 'I answer' : 'I see to it' });
  show.onclick = () => go('lanes', a.lane);
  answer.onclick = async () => { answer.disabled = true; go('lanes', a.lane); said(await tell(a.lane, { kind: 'acknowledge', value: String(a.id) })); answer.disabled = false; };
  const row = el('div', { className: 'alarm' }, el('b', { textContent: a.lane }), el('span', { textContent: text(a) }), el('time', { textContent: clock(a.at) + again(a) }), el('em', {}), el('div', { className: 'row' }, show, may('attend') ? answer : null));
  row.classList.toggle('late', late(a));
  row.classList.toggle('quiet', !mine(a));
  row.dataset.at = a.at;
  return row;
}

// halted is a rollout that stopped by itself: it rings until somebody sees to it.
function halted(x) {
  const show = el('button', { type: 'button', textContent: 'Show' }), answer = el('button', { type: 'button', className: 'main', textContent: 'I see to it' });
  show.onclick = () => go('releases');
  answer.onclick = async () => { answer.disabled = true; await seen(x.rollout); go('releases'); };
  return el('div', { className: 'alarm' }, el('b', { textContent: `${words(x.kind)} ${x.number}` }), el('span', { textContent: `The rollout stopped: ${x.why}` }), el('time', { textContent: clock(x.at) }), el('div', { className: 'row' }, show, answer));
}

// remind says how old the alarms are, and rings again while one is this
// officer's to answer.
export function remind() {
  if ((stopped.length || unanswered().some(mine)) && Math.round(Date.now() / 1000) % 6 === 0) ring();
  for (const row of $('alarms').querySelectorAll('[data-at]')) {
    const age = ago(+row.dataset.at);
    row.querySelector('em').textContent = !row.matches('.late') ? '' : leads() ? `nobody has answered for ${age}: it is yours now` : `nobody has answered for ${age}: your supervisor has been called`;
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

export function clear() { queue.key = bells.key = ''; bells.rings = 0; $('alarms').replaceChildren(); $('cases').replaceChildren(); }
