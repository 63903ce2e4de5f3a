// The sheet that goes to the desk with a traveller: what the lane knew of the
// case, on paper, because the desk must not depend on the console. It is made
// for the printer and taken apart again.
import { day, el, words } from './dom.js';
import { ours } from './passkey.js';
import { classes, registers } from './words.js';

const rows = list => el('table', {}, el('tbody', {}, (list ?? []).map(c => el('tr', {}, el('td', { textContent: registers[c.name] ?? c.name }), el('td', { textContent: words(c.code) }), el('td', { textContent: c.reason ?? '' })))));

export async function paper(into, { site, officer, lane, case: k, why, training }) {
  const d = k.document, faces = [['chip', k.chip], ['live', k.live]].filter(([, there]) => there).map(([which]) => el('img', { src: `/api/lane/${encodeURIComponent(lane)}/face/${k.transaction}/${which}`, alt: which + ' face' }));
  const days = k.stay ? (k.stay.Overstay ? `${k.stay.Overstay} days over` : `${words(k.stay.Status)}, ${k.stay.Days} days${k.stay.LastDay ? ', until ' + day(k.stay.LastDay) : ''}`) : '';
  into.replaceChildren(...[
    el('h1', { textContent: `${training ? 'TRAINING · ' : ''}For the desk · ${site} · lane ${lane}` }),
    el('p', { textContent: `${new Date().toLocaleString('en-GB')} · crossing ${k.transaction}` }),
    el('p', {}, el('b', { textContent: k.name || 'name not read' }), ` · ${k.issuer || 'issuer not read'} · ${classes[k.class] || 'class not known'}`),
    d ? el('p', { textContent: `${d.type} ${d.number} · nationality ${d.nationality}${d.birth ? ' · born ' + day(d.birth) : ''}${d.expiry ? ' · expires ' + day(d.expiry) : ''}` }) : null,
    why ? el('p', { textContent: why }) : null,
    el('div', {}, ...faces),
    k.face ? el('p', { textContent: `Faces: ${words(k.face.result)}, ${k.face.shown} of 100 (limit 60), attempts ${k.face.attempts}; attack detection: ${k.face.pad}` }) : null,
    days ? el('p', { textContent: `Stay: ${days}` }) : null,
    el('h2', { textContent: `Document · ${k.access} · ${words(k.verdict)}` }), rows(k.checks),
    el('h2', { textContent: 'Registers' }), rows(k.answers),
    el('p', { textContent: 'The lane proposes. Only an officer at the desk refuses entry. Destroy this sheet when the case is over.' }),
    el('div', { className: 'sign' }, el('span', { textContent: `handed over by ${officer}` }), el('span', { textContent: 'taken by' })),
  ].filter(Boolean));
  into.hidden = false;
  await ours(Promise.all(faces.map(f => f.decode().catch(() => { /* printed without it */ }))));
  addEventListener('afterprint', () => { into.replaceChildren(); into.hidden = true; }, { once: true });
  print();
}
