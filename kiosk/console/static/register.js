import { call, create } from './passkey.js';
const $ = id => document.getElementById(id);
$('code').value = new URLSearchParams(location.search).get('code') ?? '';
$('register').onsubmit = async e => {
  e.preventDefault();
  const code = $('code').value.trim();
  const begun = await call('POST', '/api/register/begin', { code });
  if (!begun.ok) { $('said').textContent = begun.said; return; }
  $('who').textContent = `${begun.data.name}, ${begun.data.role.replaceAll('_', ' ')}`;
  let response;
  try { response = await create(begun.data.options); } catch (x) { $('said').textContent = 'The passkey was not made: ' + x.message; return; }
  const done = await call('POST', '/api/register/finish', { code, response });
  $('said').className = done.ok ? 'said good' : 'said';
  $('said').textContent = done.ok ? 'Your passkey is registered. You can sign in as soon as the roster with your name has been signed.' : done.said;
  if (done.ok) $('register').querySelector('button').hidden = true;
};
