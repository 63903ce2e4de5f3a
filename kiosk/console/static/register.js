import { call, create } from './passkey.js';
import { leave, returned } from './directory.js';
const $ = id => document.getElementById(id);

// The code stands behind the # of its address, which no server is told. It waits
// in this tab while the directory asks who it is.
const kept = 'passage-invitation';
$('said').textContent = returned();
const given = new URLSearchParams(location.hash.slice(1)).get('code');
if (given) { sessionStorage.setItem(kept, given); history.replaceState(null, '', location.pathname); }
$('code').value = sessionStorage.getItem(kept) ?? '';

const { data: site, ...about } = await call('GET', '/api/me');
if (!about.ok) $('said').textContent = about.said;
const person = site.directory?.person;
if (site.directory && !person) {
  $('who').textContent = `With the code of your invitation, on the device you will sign in from. First ${site.directory.name} says who you are.`;
  $('register').querySelector('button').textContent = `Sign in at ${site.directory.name}`;
} else if (person) $('who').textContent = `${site.directory.name} names ${person}. Now make the passkey that proves it, with the code of your invitation.`;
$('register').hidden = false;

$('register').onsubmit = async e => {
  e.preventDefault();
  const code = $('code').value.trim();
  if (site.directory && !person) {
    sessionStorage.setItem(kept, code);
    $('said').textContent = (await leave('/register', false)).said;
    return;
  }
  const begun = await call('POST', '/api/register/begin', { code });
  if (!begun.ok) { $('said').textContent = begun.said; return; }
  $('who').textContent = `${begun.data.name}, ${begun.data.role.replaceAll('_', ' ')}`;
  let response;
  try { response = await create(begun.data.options); } catch (x) { $('said').textContent = 'The passkey was not made: ' + x.message; return; }
  const done = await call('POST', '/api/register/finish', { code, response });
  $('said').className = done.ok ? 'said good' : 'said';
  $('said').textContent = done.ok ? 'Your passkey is registered. You can sign in as soon as the roster with your name has been signed.' : done.said;
  if (done.ok) { sessionStorage.removeItem(kept); $('register').querySelector('button').hidden = true; }
};
