// The intercom at the screen. The microphone is open while the lane itself says
// that an officer calls, and the screen says so to the traveller all that time.
import { line, gathered } from './sound.js';

const sign = document.getElementById('call');
let now = null; // the call: { id, pc, mic, ear }

const post = body => fetch('/traveller/call', { method: 'POST', body: JSON.stringify(body) }).catch(() => null);

// ring is told by the lane, again and again, which call there is.
export function ring(id) {
  if (id === (now?.id ?? '')) return;
  if (now) over(now, false);
  now = null;
  if (id) answer(id);
}

async function answer(id) {
  const mine = now = { id };
  sign.hidden = false;
  try {
    const r = await fetch('/traveller/call'), call = r.ok ? await r.json() : {};
    if (call.id !== id) throw new Error('that call is over');
    // A screen without a microphone still lets the officer be heard.
    mine.mic = await navigator.mediaDevices?.getUserMedia({ audio: true }).catch(() => null);
    if (now !== mine) { over(mine, false); return; }
    const { pc, ear } = line(mine, () => over(mine, true));
    ear.id = 'ear';
    await pc.setRemoteDescription({ type: 'offer', sdp: call.offer });
    for (const t of mine.mic?.getTracks() ?? []) pc.addTrack(t, mine.mic);
    await pc.setLocalDescription();
    const sdp = await gathered(pc);
    if (now !== mine || !(await post({ id, sdp }))?.ok) over(mine, true);
  } catch { over(mine, true); }
}

// over closes everything at once, whoever else knows of it.
function over(call, tell) {
  call.mic?.getTracks().forEach(t => t.stop());
  call.pc?.close();
  call.ear?.remove();
  if (tell) post({ id: call.id, over: true });
  if (now !== call) return;
  sign.hidden = true;
  // The lane may name this call a moment longer: it is not answered twice.
  now = { id: call.id };
}
