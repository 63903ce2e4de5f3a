// What is not one lane: open cases of all of them, who watches what, the audit,
// lanes and officers that join.
import { settle } from './case.js';
import { $, byNumber, el, words } from './dom.js';
import { call } from './passkey.js';
import { here, lanes, meaning, tell, tellSite, watched } from './state.js';
import { watch } from './card.js';

// allCases lists the open cases of every lane. A lane that does not answer is
// named: its cases are unknown, which is not none.
export async function allCases() {
  const r = await call('GET', '/api/cases');
  if (!r.ok) { $('settle-said').textContent = r.said; return; }
  const { cases, silent } = r.data;
  $('no-open').hidden = cases.length > 0;
  $('cases-silent').hidden = !silent.length;
  $('cases-silent').textContent = `Not asked, because not heard: ${silent.join(', ')}.`;
  $('settle').replaceChildren(...cases.map(c => el('li', {}, settle(c, el('b', { textContent: c.lane }), async finding => {
    $('settle-said').textContent = meaning(await tell(c.lane, { kind: 'settle_case', transaction: c.transaction, value: finding }));
    allCases();
  }))));
}
$('cases-again').onclick = allCases;

// staff says who watches what. Taking over adds their lanes to mine, as far as
// the cap lets me; they stop by themselves, so that no lane is ever left.
export function staff() {
  const { me } = here, by = new Map([[me.officer, []]]), none = [];
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
    return el('tr', {}, el('td', { textContent: o === me.officer ? `${o} (you)` : o }), el('td', { textContent: list.sort(byNumber).join(', ') || 'none' }), act);
  }));
  $('unwatched').hidden = !none.length;
  $('unwatched').textContent = `Nobody watches ${none.length > 20 ? none.length + ' lanes' : none.sort(byNumber).join(', ')}.`;
}

export async function audit() {
  const f = Object.fromEntries(new FormData($('search'))), to = new Date(Date.now() + 1000), from = new Date(to - f.hours * 3600e3);
  const q = new URLSearchParams({ from: from.toISOString().slice(0, 19) + 'Z', to: to.toISOString().slice(0, 19) + 'Z', officer: f.officer, lane: f.lane, transaction: f.transaction });
  const r = await call('GET', '/api/audit?' + q);
  $('audit-said').textContent = r.said;
  if (!r.ok) return;
  $('no-words').hidden = r.data.length > 0;
  $('words').querySelector('tbody').replaceChildren(...r.data.map(w => el('tr', {}, [new Date(w.at).toLocaleString('en-GB'), w.officer, w.lane, `${words(w.kind)} ${words(w.value)}`, words(w.reason), w.transaction, words(w.answer)].map(textContent => el('td', { textContent })))));
}
$('search').onsubmit = e => { e.preventDefault(); audit(); };

const form = (id, path, done) => { $(id).onsubmit = async e => { e.preventDefault(); const r = await call('POST', path, Object.fromEntries(new FormData(e.target))); $(id + '-said').className = r.ok ? 'said good' : 'said'; $(id + '-said').textContent = r.ok ? done(r.data, e.target) : r.said; }; };
form('enrol', '/api/enrol/code', d => `On the lane’s computer, within 15 minutes: passage lane enrol --code ${d.code} --console https://…`);
$('revoke').onsubmit = async e => {
  e.preventDefault();
  const value = new FormData(e.target).get('lane'), said = $('revoke-said');
  said.className = 'said'; said.textContent = '';
  const r = await tellSite('/api/enrol/revoke', { kind: 'shut_out', value }, true);
  if (r.ok) { said.className = 'said good'; e.target.reset(); }
  said.textContent = r.ok ? `The computer of ${value} is shut out: it speaks to this site no more.` : r.said;
};
form('invite', '/api/invite', d => `${location.origin}/register#code=${d.code} (for three days)`);
