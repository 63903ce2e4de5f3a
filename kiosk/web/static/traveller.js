// The traveller's screen: one instruction at a time, in the document's
// language or the one chosen by touch.
const texts = await (await fetch('/traveller/texts')).json();
const $ = id => document.getElementById(id);
// Advice whose text has its own name, as the matcher's policy gives it.
const hints = ['turn', 'up', 'down', 'level', 'still', 'light', 'glare', 'shadow', 'eyes', 'mouth', 'uncover', 'centre'];
let total = 0, screen = '';

function show(t) {
  const m = texts[t.lang] ?? texts.en;
  document.documentElement.lang = t.lang;
  document.documentElement.dir = t.lang === 'ar' ? 'rtl' : 'ltr';
  document.body.dataset.screen = t.screen;
  for (const p of document.querySelectorAll('.pic')) p.classList.toggle('on', p.dataset.for === t.screen);
  preview(t.preview);
  if (t.light) document.body.dataset.light = t.light; else delete document.body.dataset.light;
  $('text').textContent = m[t.screen];
  const hint = { closer: m.S6a, back: m.S6b, look: m.S5, one: m.S7, wait: m.S9 }[t.hint] ?? (hints.includes(t.hint) ? m[t.hint] : '');
  $('hint').textContent = t.document_left ? m.take : (hint === m[t.screen] ? '' : hint);
  $('langname').textContent = m.name;
  $('helptext').textContent = m.help;
  if (t.screen !== screen) total = t.seconds_left ?? 0;
  screen = t.screen;
  $('bar').classList.toggle('on', !!t.seconds_left);
  if (t.seconds_left) $('bar').firstElementChild.style.setProperty('width', 100 * t.seconds_left / Math.max(total, 1) + '%');
}

// The traveller's own picture, mirrored as a looking-glass is. It is a stream
// that ends when the lane has decided; the pictogram stands in for it.
const picture = $('preview');
let shown = false, times = 0;
function preview(on) {
  if (!!on === shown) return;
  shown = !!on;
  delete document.body.dataset.preview;
  if (shown) picture.src = '/traveller/preview?' + ++times; else picture.removeAttribute('src');
}
picture.onload = () => { if (shown) document.body.dataset.preview = ''; };
picture.onerror = () => { delete document.body.dataset.preview; };

for (const [code, m] of Object.entries(texts)) {
  const b = document.createElement('button');
  b.type = 'button'; b.lang = code; b.textContent = m.name;
  b.onclick = () => { fetch('/traveller/language', { method: 'POST', body: JSON.stringify({ lang: code }) }); $('menu').close(); };
  $('langs').append(b);
}
$('language').onclick = () => $('menu').showModal();
$('help').onclick = () => fetch('/traveller/help', { method: 'POST' });

const events = new EventSource('/traveller/events');
events.onmessage = e => show(JSON.parse(e.data));
// Without the lane the screen must not go on telling people to step in.
events.onerror = () => show({ screen: 'S12', lang: document.documentElement.lang || 'en' });
