// The organisation's directory names an officer before the passkey does its
// part: the browser goes to its page and comes back.
import { call } from './passkey.js';
const $ = id => document.getElementById(id);

const whys = {
  late: 'That sign-in was used already, or took too long. Begin again.',
  refused: 'The directory’s answer could not be believed. Begin again; if it happens once more, tell whoever looks after the console.',
  silent: 'The directory does not answer.',
};

// returned is what came of a visit at the directory, empty if all went well. It
// goes from the address, so that a reload does not say it again.
export function returned() {
  const why = new URLSearchParams(location.hash.slice(1)).get('directory');
  if (why) history.replaceState(null, '', location.pathname);
  return why ? whys[why] ?? whys.refused : '';
}

// leave goes there. It returns only if there is nowhere to go: what to say, and
// for how long the directory's last word holds.
export async function leave(page, anew) {
  const r = await call('POST', '/api/directory/begin', { page, anew }, 'the site does not answer');
  if (!r.ok) return { said: r.said && `${r.said[0].toUpperCase()}${r.said.slice(1)}.`, alone: r.data.alone_ms ?? 0 };
  location.assign(r.data.address);
  return new Promise(() => { /* the page goes away */ });
}

// ask sets the sign-in page up: first the directory, then the passkey.
export function ask(directory) {
  const named = directory?.person;
  $('directory').hidden = !directory || !!named;
  $('signin').hidden = !!directory && !named;
  $('named').hidden = !named;
  $('typed').hidden = !!named;
  $('officer').required = !named;
  if (!directory) { $('officer').focus(); return; }
  $('to-directory').textContent = `Sign in at ${directory.name}`;
  $('directory-said').textContent = returned();
  $('to-directory').onclick = () => go(false);
  $('other').onclick = () => go(true);
  if (!named) { $('to-directory').focus(); return; }
  $('named-who').textContent = directory.person;
  $('officer').value = directory.officer ?? '';
  $('use-passkey').hidden = !directory.officer;
  $('signin-said').textContent = directory.officer ? '' : 'The directory knows you; the roster of this site does not. Ask for an invitation.';
  if (directory.officer) $('use-passkey').focus();
}

let going = false;
async function go(anew) {
  if (going) return;
  going = true;
  const { said, alone } = await leave('/', anew).finally(() => { going = false; });
  $('directory-said').textContent = said;
  $('signin-said').textContent = '';
  if (!alone) return;
  // Whom it named a while ago signs in by passkey alone.
  const minutes = Math.round(alone / 60000);
  $('directory-said').textContent += ` Whom it named within the last ${minutes > 90 ? `${Math.round(minutes / 60)} hours` : `${minutes} minutes`} may sign in by passkey alone.`;
  $('signin').hidden = $('typed').hidden = $('use-passkey').hidden = false;
  $('named').hidden = true;
  $('officer').required = true;
}
// The page may come back from the browser's memory, after "back" at the directory.
addEventListener('pageshow', e => { if (e.persisted) location.reload(); });
