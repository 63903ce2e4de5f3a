// What both ends of the intercom do alike: a line of sound from browser to
// browser, with no server between and nothing that could record.

// line makes a connection and the ear that plays what comes; lost is called once
// it has gone.
export function line(call, lost) {
  const pc = call.pc = new RTCPeerConnection({ iceServers: [], bundlePolicy: 'max-bundle' });
  const ear = call.ear = document.createElement('audio');
  ear.autoplay = true;
  document.body.append(ear);
  pc.ontrack = e => { ear.srcObject = e.streams[0] ?? new MediaStream([e.track]); ear.play().catch(() => null); };
  pc.onconnectionstatechange = () => { if (['disconnected', 'failed', 'closed'].includes(pc.connectionState)) lost(); };
  return { pc, ear };
}

// gathered is the local description when the own addresses are in it: one offer
// and one answer, and no more to say.
export async function gathered(pc) {
  if (pc.iceGatheringState !== 'complete') {
    await new Promise(done => {
      const late = setTimeout(done, 2000);
      pc.onicegatheringstatechange = () => { if (pc.iceGatheringState === 'complete') { clearTimeout(late); done(); } };
    });
  }
  return pc.localDescription.sdp;
}
