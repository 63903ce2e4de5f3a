// Sounds that go with the screens, and the instruction spoken where the machine
// has a voice for the language. The headset's jack is the machine's.
const usual = 1, most = 3;
let level = usual, sound = null;

// volume changes the volume by a step, or without one sets it back, and returns
// it: 0 is off.
export function volume(step) {
  level = step ? Math.min(most, Math.max(0, level + step)) : usual;
  return level;
}

// Each cue is notes of a pitch in Hz. No cue tells why: a divert sounds like
// any request to wait, and nothing sounds like an alarm but the emergency.
const notes = {
  S1: [523], S2: [440], S3: [523, 659], S4: [523], S5: [659], S7: [440, 440], S8: [440, 523], S9: [440], S10: [523, 659, 784], S11: [440, 392], S12: [392],
  S13: [784, 587, 784, 587, 784, 587],
};

export function cue(screen) {
  // Browsers let a page sound once somebody has touched it.
  if (!level || !notes[screen] || !navigator.userActivation?.hasBeenActive) return;
  try {
    sound ??= new AudioContext();
    notes[screen].forEach((pitch, i) => {
      const o = sound.createOscillator(), g = sound.createGain(), t = sound.currentTime + i * .16;
      o.type = 'sine'; o.frequency.value = pitch;
      g.gain.setValueAtTime(.0001, t); g.gain.exponentialRampToValueAtTime(.09 * level, t + .02); g.gain.exponentialRampToValueAtTime(.0001, t + .3);
      o.connect(g).connect(sound.destination);
      o.start(t); o.stop(t + .32);
    });
  } catch { /* a machine without sound: the screen says it all */ }
}

export function speak(text, lang) {
  const voices = globalThis.speechSynthesis;
  if (!level || !text || !voices?.getVoices().some(v => v.lang.toLowerCase().startsWith(lang))) return;
  voices.cancel();
  const said = new SpeechSynthesisUtterance(text);
  said.lang = lang; said.volume = level / most;
  voices.speak(said);
}
