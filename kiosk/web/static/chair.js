// An empty chair locks its page: nobody decides, and no lane stays open, in the
// name of somebody who has gone. A hand on mouse, keys or glass is a presence;
// what the page does by itself is none.
let touched = 0, told = 0;
const ask = document.getElementById('still');
for (const what of ['pointerdown', 'pointermove', 'keydown', 'wheel', 'touchstart']) addEventListener(what, e => { if (e.isTrusted) { touched = Date.now(); if (ask.open) ask.close(); } }, { passive: true, capture: true });

// sit begins: somebody has signed in.
export function sit() { touched = told = Date.now(); }

// look is for every second in which somebody is signed in. It tells the server
// of a hand by felt, asks when there was none for long, and locks after idle
// milliseconds, whether the server can be reached or not.
export function look(idle, felt, lock) {
  const gone = Date.now() - touched, left = idle - gone;
  if (left <= 0) { lock(); return; }
  if (left <= Math.min(60000, idle / 2)) {
    document.getElementById('still-left').textContent = Math.ceil(left / 1000);
    if (!ask.open) ask.showModal();
  } else if (touched > told && Date.now() - told > idle / 10) { told = Date.now(); felt(); }
}
