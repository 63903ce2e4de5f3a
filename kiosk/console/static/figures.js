// Statistics: tables and charts. Groups of fewer than 20 crossings are shown
// nowhere; the server holds them back.
import { $, day, el, label, shape } from './dom.js';
import { call } from './passkey.js';
import { because, classes } from './words.js';

export async function figures() {
  const to = new Date(), from = new Date(to - $('span').value * 3600e3);
  const q = `from=${from.toISOString().slice(0, 19)}Z&to=${to.toISOString().slice(0, 19)}Z`;
  $('csv').href = `/api/export?${q}&format=csv`; $('parquet').href = `/api/export?${q}&format=parquet`;
  const r = await call('GET', `/api/statistics?${q}&by=${$('by').value}`);
  $('figures-said').textContent = r.said;
  if (!r.ok) return;
  const cells = r.data.cells, few = '< 20', n = v => v ?? few;
  const pc = v => (100 * v).toFixed(1), share = x => !x ? '' : x.rate == null ? `at most ${pc(x.high)} %` : `${pc(x.rate)} % (${pc(x.low)} to ${pc(x.high)})`;
  told = twice(cells); many = cells.length > 26;
  $('zone').textContent = $('by').value === 'hour' ? `Hours by the clock of ${r.data.timezone}.` : '';
  $('cells').querySelector('tbody').replaceChildren(...cells.map(c => el('tr', {}, ...[whole(c), n(c.crossings), n(c.released), n(c.diverted), s(c.p50_ms), s(c.p95_ms), share(c.asked), share(c.false_alarms)].map(t => el('td', { textContent: t })))));
  $('chart').replaceChildren(chart(cells));
  $('times').replaceChildren(times(cells));
}
$('span').onchange = $('by').onchange = figures;

// Both charts have the same columns, one a group.
const wide = 620, first = 44;
// An hour's key is its beginning by the site's clock, with the offset, as in
// 2026-10-25T02:00+02:00. That clock shows some hours twice a year: those are told
// apart by what they are ahead of UTC.
const hour = /^(\d+-\d+-\d+)T(\d+):(\d+)([+-]\d+):(\d+)$/;
let told = new Set(), many = false; // hours told apart; more hours than a day has
function twice(cells) {
  const seen = new Set(), out = new Set();
  for (const c of cells) { const k = c.key.slice(0, 16); if (hour.test(c.key)) (seen.has(k) ? out : seen).add(k); }
  return out;
}
const plain = key => classes[key] || because[key] || (key || '–').replaceAll('_', ' ');
const ahead = ([,,,, h, m]) => ` UTC${+h < 0 ? '−' : '+'}${Math.abs(h)}${m === '00' ? '' : ':' + m}`;
const name = c => { const h = hour.exec(c.key); return h ? (many ? day(h[1]).slice(0, -5) + ' ' : '') + h[2] + (h[3] === '00' ? '' : ':' + h[3]) + (told.has(c.key.slice(0, 16)) ? ahead(h) : '') : plain(c.key); };
const whole = c => { const h = hour.exec(c.key); return h ? `${day(h[1])}, ${h[2]}:${h[3]}${told.has(c.key.slice(0, 16)) ? ahead(h) : ''}` : plain(c.key); };
const column = cells => Math.min(110, (wide - first - 6) / Math.max(1, cells.length));
// Where the names would touch, every other one is left out, or two of three.
const every = cells => Math.ceil(Math.max(...cells.map(c => name(c).length), 2) * 8.2 / column(cells));

// chart stacks released, diverted and others.
function chart(cells) {
  const h = 190, top = 24, most = Math.max(1, ...cells.map(c => c.crossings ?? 0)), w = column(cells), skip = every(cells);
  const svg = shape('svg', { viewBox: `0 0 ${wide} ${h + top + 56}`, class: 'columns', role: 'img', 'aria-label': `Crossings by ${$('by').value}. ${inWords(cells, c => c.crossings == null ? 'fewer than 20' : `${c.crossings}${c.released == null ? '' : `, ${c.released} released, ${c.diverted} diverted`}`)}` });
  svg.append(shape('path', { d: `M${first} ${h + top + .5}H${wide}`, class: 'axis' }));
  cells.forEach((c, i) => {
    const x = first + i * w;
    let y = h + top;
    for (const [k, v] of c.released == null ? [['undivided', c.crossings]] : [['released', c.released], ['diverted', c.diverted], ['other', (c.crossings ?? 0) - (c.released ?? 0) - (c.diverted ?? 0)]]) {
      const tall = h * (v ?? 0) / most;
      y -= tall;
      if (tall > 0) svg.append(shape('rect', { x: x + w * .14, y, width: w * .72, height: tall, class: k }));
    }
    if (i % skip === 0) svg.append(label(x + w / 2, h + top + 18, name(c)));
    if (w > 30) svg.append(label(x + w / 2, y - 6, c.crossings ?? '< 20'));
  });
  const shown = new Set([...svg.querySelectorAll('rect')].map(r => r.getAttribute('class')));
  [['released', 'released'], ['diverted', 'diverted'], ['other', 'other'], ['undivided', 'not divided']].filter(([k]) => shown.has(k)).forEach(([k, t], i) => svg.append(shape('rect', { x: first + i * 110, y: h + top + 34, width: 12, height: 12, rx: 2, class: k }), label(first + 18 + i * 110, h + top + 45, t, 'start')));
  return svg;
}

const s = v => v == null ? '' : (v / 1000).toFixed(1) + ' s';
// inWords is for who does not see the picture: each column.
const inWords = (list, say) => list.map(c => `${whole(c)}: ${say(c)}`).join('; ') || 'Nothing.';

// times shows what half and what nearly all of the released needed.
function times(cells) {
  const list = cells.filter(c => c.p50_ms != null), h = 190, top = 24, most = Math.max(10000, ...list.map(c => c.p95_ms)) * 1.05, w = column(cells), skip = every(cells);
  const svg = shape('svg', { viewBox: `0 0 ${wide} ${h + top + 56}`, class: 'columns', role: 'img', 'aria-label': `Times of the released by ${$('by').value}, median and 95th percentile. ${inWords(list, c => `${s(c.p50_ms)} and ${s(c.p95_ms)}`)}` });
  const y = ms => top + h * (1 - ms / most);
  for (let s = 0; s * 1000 <= most; s += most > 40000 ? 20 : 5) svg.append(shape('path', { d: `M${first} ${y(s * 1000)}H${wide}`, class: 'axis' }), label(first - 6, y(s * 1000) + 4, s + ' s', 'end'));
  cells.forEach((c, i) => {
    const x = first + i * w + w / 2;
    if (i % skip === 0) svg.append(label(x, h + top + 18, name(c)));
    if (c.p50_ms != null) svg.append(shape('path', { d: `M${x} ${y(c.p50_ms)}V${y(c.p95_ms)}`, class: 'range' }), shape('circle', { cx: x, cy: y(c.p50_ms), r: 5, class: 'median' }));
  });
  svg.append(label(first, h + top + 45, list.length ? 'time of the released: ring at the median, bar up to the 95th percentile' : 'too few for times', 'start'));
  return svg;
}
