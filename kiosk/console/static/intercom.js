// The intercom at the officer's desk: call the traveller of one lane, hear them,
// and hold a button to speak. The offer goes in a signed word, so that the
// traveller's screen speaks with this page and no other.
import { line, gathered } from './sound.js';
import { el } from './dom.js';
import { call as ask } from './passkey.js';
import { heard, here, meaning, tell } from './state.js';

let now = null; // { lane, pc, mic, ear }

const state = lane => ask('GET', `/api/lane/${encodeURIComponent(lane)}/call`);
const out = el('output', { className: 'said' });
const open = el('button', { type: 'button', id: 'talk', textContent: 'Speak with the traveller' });
const hold = el('button', { type: 'button', id: 'hold', className: 'main', textContent: 'Hold to speak' });
const hang = el('button', { type: 'button', id: 'hang', textContent: 'Hang up' });
const bar = el('div', { className: 'row', id: 'intercom', hidden: true }, open, hold, hang, out);
bar.setAttribute('role', 'group'); bar.ariaLabel = 'intercom';

function draw() {
  open.hidden = !!now;
  hold.hidden = !now?.answered;
  hang.hidden = !now;
}

// intercom is the lane's row of buttons; there is none where the lane has no
// intercom, or no traveller.
export function intercom(lane, transaction) {
  if (now && (now.lane !== lane || now.transaction !== transaction && transaction)) hangUp();
  if (bar.dataset.lane !== lane) { bar.hidden = true; out.textContent = ''; }
  bar.dataset.lane = lane;
  bar.dataset.transaction = transaction ?? '';
  if (!transaction && !now) bar.hidden = true;
  else state(lane).then(r => { if (bar.dataset.lane === lane) bar.hidden = !r.ok; });
  draw();
  return bar;
}

open.onclick = async () => {
  const { lane, transaction } = bar.dataset;
  if (now || !transaction) return;
  const mine = now = { lane, transaction };
  out.textContent = '';
  draw();
  try {
    mine.mic = await navigator.mediaDevices.getUserMedia({ audio: true });
    speak(mine, false);
    const { pc, ear } = line(mine, () => lost(mine, 'The line is gone.'));
    ear.id = 'ear';
    const [track] = mine.mic.getAudioTracks(), sender = pc.addTransceiver(track, { streams: [mine.mic] });
    // One way of coding: the offer is small enough for a word.
    sender.setCodecPreferences(RTCRtpReceiver.getCapabilities('audio').codecs.filter(c => c.mimeType === 'audio/opus'));
    await pc.setLocalDescription();
    const text = await gathered(pc);
    if (now !== mine) { close(mine); return; }
    const r = await tell(lane, { kind: 'intercom', transaction, value: 'call', text });
    if (!heard(r)) { lost(mine, meaning(r) || 'The lane did not hear you.'); return; }
    for (let n = 0; now === mine && n < 40; n++) {
      const s = await state(lane);
      if (!s.ok || s.data.officer !== here.me.officer) { lost(mine, 'The screen did not answer.'); return; }
      if (s.data.answer) {
        await pc.setRemoteDescription({ type: 'answer', sdp: s.data.answer });
        mine.answered = true;
        draw();
        watch(mine);
        return;
      }
      await new Promise(f => setTimeout(f, 250));
    }
    lost(mine, 'The screen did not answer.');
  } catch (x) { lost(mine, x.name === 'NotAllowedError' || x.name === 'NotFoundError' ? 'This browser gives no microphone.' : 'The line could not be opened.'); }
};

// watch ends the call here when the lane has ended it.
async function watch(mine) {
  while (now === mine) {
    await new Promise(f => setTimeout(f, 2000));
    if (now !== mine) return;
    const s = await state(mine.lane);
    if (s.ok && s.data.officer !== here.me.officer) lost(mine, 'The call is over.');
  }
}

function speak(call, on) {
  call?.mic?.getAudioTracks().forEach(t => { t.enabled = on; });
  hold.classList.toggle('speaking', on);
  hold.textContent = on ? 'Speaking…' : 'Hold to speak';
}
hold.onpointerdown = e => { hold.setPointerCapture(e.pointerId); speak(now, true); };
hold.onpointerup = hold.onpointercancel = () => speak(now, false);
hold.onkeydown = e => { if (e.key === ' ' || e.key === 'Enter') { e.preventDefault(); speak(now, true); } };
hold.onkeyup = hold.onblur = () => speak(now, false);

function close(call) {
  call.mic?.getTracks().forEach(t => t.stop());
  call.pc?.close();
  call.ear?.remove();
}
function lost(call, why) {
  close(call);
  if (now !== call) return;
  now = null;
  speak(null, false);
  out.textContent = why;
  draw();
}

// hangUp ends the call at once here, and tells the lane if it can.
export function hangUp() {
  if (!now) return Promise.resolve();
  const { lane } = now;
  lost(now, '');
  return here.me ? tell(lane, { kind: 'intercom', value: 'end' }) : Promise.resolve();
}
hang.onclick = hangUp;
addEventListener('pagehide', () => { if (now) lost(now, ''); });
