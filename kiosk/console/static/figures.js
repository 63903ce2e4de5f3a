// Statistics: tables and charts. Groups of fewer than 20 crossings are shown
// nowhere; the server holds them back.
import { $, el, label, shape } from './dom.js';
import { call } from './passkey.js';

export async function figures() {
  const to = new Date(), from = new Date(to - $('span').value * 3600e3);
  const q = `from=${from.toISOString().slice(0, 19)}Z&to=${to.toISOString().slice(0, 19)}Z`;
  $('csv').href = `/api/export?${q}&format=csv`; $('parquet').href = `/api/export?${q}&format=parquet`;
  const r = await call('GET', `/api/statistics?${q}&by=${$('by').value}`);
  if (!r.ok) return;
  const cells = r.data.cells, few = '< 20', n = v => v ?? few, s = v => v == null ? '' : (v / 1000).toFixed(1) + ' s';
  $('cells').querySelector('tbody').replaceChildren(...cells.map(c => el('tr', {}, ...[c.key || '–', n(c.crossings), n(c.released), n(c.diverted), s(c.p50_ms), s(c.p95_ms)].map(t => el('td', { textContent: t })))));
  $('chart').replaceChildren(chart(cells));
  $('times').replaceChildren(times(cells));
}
$('span').onchange = $('by').onchange = figures;

// chart stacks released, diverted and others, one column a group.
function chart(cells) {
  const h = 180, most = Math.max(1, ...cells.map(c => c.crossings ?? 0)), w = Math.min(64, 900 / Math.max(1, cells.length));
  const svg = shape('svg', { viewBox: `0 0 960 ${h + 60}`, class: 'columns', role: 'img', 'aria-label': 'crossings by group' });
  const text = (x, y, t, more) => { const e = shape('text', { x, y, 'text-anchor': 'middle', ...more }); e.textContent = t; return e; };
  cells.forEach((c, i) => {
    const x = 40 + i * w;
    let y = h + 10;
    for (const [k, v] of c.released == null ? [['undivided', c.crossings]] : [['released', c.released], ['diverted', c.diverted], ['other', (c.crossings ?? 0) - (c.released ?? 0) - (c.diverted ?? 0)]]) {
      const tall = h * (v ?? 0) / most;
      y -= tall;
      if (tall > 0) svg.append(shape('rect', { x: x + w * .12, y, width: w * .76, height: tall, class: k }));
    }
    if (cells.length <= 40) svg.append(text(x + w / 2, h + 28, (c.key || '–').replace(/^\d+-\d+-\d+T/, ''), {}));
    if (c.crossings != null && cells.length <= 24) svg.append(text(x + w / 2, y - 4, c.crossings, {}));
  });
  [['released', 'released'], ['diverted', 'diverted'], ['other', 'other'], ['undivided', 'not divided']].forEach(([k, t], i) => svg.append(shape('rect', { x: 40 + i * 110, y: h + 42, width: 12, height: 12, rx: 2, class: k }), text(58 + i * 110, h + 53, t, { 'text-anchor': 'start' })));
  return svg;
}

// times shows what half and what nearly all of the released needed.
function times(cells) {
  const list = cells.filter(c => c.p50_ms != null), h = 120, most = Math.max(10000, ...list.map(c => c.p95_ms)), w = Math.min(64, 900 / Math.max(1, cells.length));
  const svg = shape('svg', { viewBox: `0 0 960 ${h + 46}`, class: 'columns', role: 'img', 'aria-label': 'median and 95th percentile of crossing times' });
  const y = ms => 10 + h * (1 - ms / most), text = (x, y, t, anchor) => { const e = shape('text', { x, y, 'text-anchor': anchor }); e.textContent = t; return e; };
  for (let s = 0; s * 1000 <= most; s += most > 40000 ? 20 : 5) svg.append(shape('path', { d: `M40 ${y(s * 1000)}h900`, class: 'axis' }), text(34, y(s * 1000) + 4, s + ' s', 'end'));
  cells.forEach((c, i) => {
    if (c.p50_ms == null) return;
    const x = 40 + i * w + w / 2;
    svg.append(shape('path', { d: `M${x} ${y(c.p50_ms)}V${y(c.p95_ms)}`, class: 'range' }), shape('circle', { cx: x, cy: y(c.p50_ms), r: 5, class: 'median' }));
    if (cells.length <= 40) svg.append(text(x, h + 28, (c.key || '–').replace(/^\d+-\d+-\d+T/, ''), 'middle'));
  });
  svg.append(text(40, h + 44, list.length ? 'crossing time of the released: ring at the median, bar up to the 95th percentile' : '', 'start'));
  return svg;
}
