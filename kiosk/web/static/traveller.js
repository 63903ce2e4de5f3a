// The traveller's screen: one instruction at a time, in the document's
// language or the one chosen by touch.
import { cue, speak, volume } from './cues.js';
import { ring } from './call.js';

const texts = await (await fetch('/traveller/texts')).json();
const $ = id => document.getElementById(id);
// Advice whose text has its own name, as the matcher's policy gives it.
const hints = ['turn', 'up', 'down', 'level', 'still', 'light', 'glare', 'shadow', 'eyes', 'mouth', 'uncover', 'centre'];
// s left, from which on more time is offered, and help to whoever has it already
const soon = { ask: 20, given: 5 };
let total = 0, screen = '', lang = '', m = texts.en;

function show(t) {
  if (t.lang !== lang) speakLanguage(t.lang);
  if (t.screen === 'S1' && screen !== 'S1' && screen !== '') asBefore();
  document.body.dataset.screen = t.screen;
  const left = t.seconds_left ?? 0, hint = advice(t, left), picture = t.document_left ? 'take' : ['closer', 'back'].includes(t.hint) && t.screen === 'S5' ? t.hint : t.screen;
  for (const p of document.querySelectorAll('.pic')) p.classList.toggle('on', p.dataset.for === picture);
  preview(t.preview);
  if (t.light) document.body.dataset.light = t.light; else delete document.body.dataset.light;
  put('text', m[t.screen]);
  put('hint', hint);
  put('calltext', m.call);
  ring(t.call ?? '');
  $('stay').hidden = !t.stay;
  if (!t.stay && $('told').open) $('told').close();
  $('data').hidden = t.screen !== 'S1';
  const more = $('more');
  more.hidden = !t.more_time;
  more.ariaPressed = more.disabled = t.more_time === 'given';
  if (t.screen !== screen || left > total) { total = left; }
  if (t.screen !== screen) { cue(t.screen); speak(m[t.screen], lang); }
  screen = t.screen;
  $('bar').classList.toggle('on', left > 0);
  if (left) {
    $('bar').firstElementChild.firstElementChild.style.setProperty('width', 100 * left / Math.max(total, 1) + '%');
    put('left', `${Math.floor(left / 60)}:${String(left % 60).padStart(2, '0')}`);
  }
}

// advice is the line below the instruction. Time that runs out is no threat:
// there is more of it, and help.
function advice(t, left) {
  if (t.document_left) return m.take;
  const hint = { closer: m.S6a, back: m.S6b, look: m.S5, one: m.S7, wait: m.S9 }[t.hint] ?? (hints.includes(t.hint) ? m[t.hint] : '');
  if (hint && hint !== m[t.screen]) return hint;
  const ends = soon[t.more_time] ?? soon.given;
  if (left > 0 && left <= ends && total > ends) return m.time.replace('{more}', t.more_time === 'ask' ? m.more : m.help);
  return left > 0 && t.more_time === 'given' ? m.given : '';
}

// Unchanged text is left alone: a screen reader would say it again.
function put(id, text) { if ($(id).textContent !== text) $(id).textContent = text; }

function speakLanguage(to) {
  lang = texts[to] ? to : 'en';
  m = texts[lang];
  document.documentElement.lang = lang;
  document.documentElement.dir = lang === 'ar' ? 'rtl' : 'ltr';
  put('langname', m.name); put('helptext', m.help); put('easetext', m.ease); put('datatext', m.S15); put('staytext', m.S14); put('moretext', m.more); $('bar').ariaLabel = m.left;
  $('large').lastElementChild.textContent = m.large; $('reach').lastElementChild.textContent = m.reach;
  put('soundtext', m.sound); $('quieter').ariaLabel = m.sound + ' −'; $('louder').ariaLabel = m.sound + ' +';
  put('notice-title', m.S15); put('told-title', m.S14);
  [...$('notice').querySelectorAll('p')].forEach((p, i) => { p.textContent = m['data' + (i + 1)]; });
  for (const b of document.querySelectorAll('.close')) b.textContent = m.close;
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

// tell sends the lane a word. Where no lane answers, the screen closes by itself.
const tell = (what, body) => fetch('/traveller/' + what, { method: 'POST', body: body && JSON.stringify(body) }).catch(() => null);

// — What a traveller may set; the next one finds the screen as it was —

for (const [code, words] of Object.entries(texts)) {
  const b = document.createElement('button');
  b.type = 'button'; b.lang = code; b.textContent = words.name;
  b.onclick = () => { tell('language', { lang: code }); $('menu').close(); };
  $('langs').append(b);
}
function set(what, on) { document.body.classList.toggle(what, on); $(what).ariaPressed = on; }
function loud(step) { put('volume', ['○○○', '●○○', '●●○', '●●●'][volume(step)]); if (step) cue('S3'); }
let visit = 0;
function asBefore() {
  visit++;
  for (const d of document.querySelectorAll('dialog[open]')) d.close();
  set('large', false); set('reach', false); loud();
}
const moreTime = () => tell('more-time');
$('more').onclick = moreTime;
for (const what of ['large', 'reach']) $(what).onclick = () => {
  set(what, !document.body.classList.contains(what));
  if (what === 'reach' && document.body.classList.contains(what)) moreTime(); // whoever sits needs it for every door
};
$('quieter').onclick = () => loud(-1);
$('louder').onclick = () => loud(1);
$('language').onclick = () => $('menu').showModal();
$('ease').onclick = () => $('easier').showModal();
$('data').onclick = () => $('notice').showModal();
$('help').onclick = () => tell('help');
for (const b of document.querySelectorAll('.close')) b.onclick = () => b.closest('dialog').close();
// A touch beside a dialog closes it.
for (const d of document.querySelectorAll('dialog')) d.onclick = e => { if (e.target === d) d.close(); };

$('stay').onclick = async () => {
  const mine = visit, r = await fetch('/traveller/stay').catch(() => null), said = r?.ok ? await r.json().catch(() => null) : null;
  if (!said || mine !== visit) return; // a late answer is not for whoever comes next
  const { days, last_day } = said, form = m['stay_' + new Intl.PluralRules(lang).select(days)] ?? m.stay_other;
  put('told-days', form.replace('{n}', days));
  put('told-last', m.last_day.replace('{date}', new Date(last_day + 'T12:00').toLocaleDateString(lang === 'ar' ? 'ar-u-nu-latn' : lang, { day: 'numeric', month: 'long', year: 'numeric' })));
  $('told').showModal();
};

speakLanguage('en');
loud();
const events = new EventSource('/traveller/events');
events.onmessage = e => show(JSON.parse(e.data));
// The lane hears every two seconds what was painted: a screen that stands still
// is started anew (passage screen), and its officers are told.
setInterval(() => requestAnimationFrame(() => tell('beat', { screen: document.body.dataset.screen })), 2000);
// Without the lane the screen must not go on telling people to step in.
events.onerror = () => show({ screen: 'S12', lang: lang || 'en' });
