// How both officers' pages build what they show: as nodes with text, so that no
// answer can become markup.
export const $ = id => document.getElementById(id);
export const el = (tag, props = {}, ...children) => { const e = Object.assign(document.createElement(tag), props); e.append(...children.flat().filter(c => c != null)); return e; };
export const shape = (tag, attributes, ...children) => { const e = document.createElementNS('http://www.w3.org/2000/svg', tag); for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v); e.append(...children); return e; };
export const label = (x, y, textContent, anchor = 'middle') => { const e = shape('text', { x, y, 'text-anchor': anchor }); e.textContent = textContent; return e; };
export const words = s => (s ?? '').replaceAll('_', ' ').toLowerCase();
export const clock = ms => new Date(ms).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
// again says for how many people an alert came that nobody has answered.
export const again = a => a.again ? `, ${a.again + 1} times, last ${clock(a.last)}` : '';
export const day = iso => new Date(iso + 'T12:00').toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
export const years = iso => { const b = new Date(iso), n = new Date(); return n.getFullYear() - b.getFullYear() - (n.getMonth() < b.getMonth() || n.getMonth() === b.getMonth() && n.getDate() < b.getDate() ? 1 : 0); };
export const ago = ms => { const s = Math.max(0, Math.round((Date.now() - ms) / 1000)); return s < 90 ? `${s} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`; };
export const byNumber = (a, b) => a.localeCompare(b, undefined, { numeric: true });
