// Passkeys, and words that a session key signs. The session key is made here
// and cannot be exported; it is lost when the page is closed, and the officer
// signs in again.
export const b64 = b => btoa(String.fromCharCode(...new Uint8Array(b)));
export const unb64 = s => Uint8Array.from(atob(s), c => c.charCodeAt(0));
export const url64 = b => b64(b).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
export const unurl64 = s => unb64(s.replaceAll('-', '+').replaceAll('_', '/'));
export const utf8 = s => new TextEncoder().encode(s);
export const sha256 = async b => new Uint8Array(await crypto.subtle.digest('SHA-256', b));
export const hex = b => [...b].map(x => x.toString(16).padStart(2, '0')).join('');

// Locked ends whatever still waits when the page is locked: what comes late is
// shown to nobody and starts nothing. Nobody has to catch it.
class Locked extends Error {}
addEventListener('unhandledrejection', e => { if (e.reason instanceof Locked) e.preventDefault(); });
let turn = new AbortController(); // from one lock to the next
// ours is a promise that only this session sees kept.
export const ours = promise => { const { signal } = turn; return promise.finally(() => { if (signal.aborted) throw new Locked('the page is locked'); }); };

async function request(method, path, body) {
  try {
    const r = await fetch(path, { method, body: body === undefined ? undefined : JSON.stringify(body) });
    if (r.status === 401) document.dispatchEvent(new Event('signed-out'));
    return { ok: r.ok, status: r.status, raw: new Uint8Array(await r.arrayBuffer()) };
  } catch { return { ok: false, status: 0, raw: new Uint8Array() }; } // no answer
}
// bytes gets what stands at a path: { ok, status, raw }, with status 0 where
// nobody answers. It rejects only with Locked.
export const bytes = path => ours(request('GET', path));
// call asks the site and reads its JSON. silent is what is said where nobody
// answers. It rejects only with Locked.
export async function call(method, path, body, silent = 'The site does not answer.') {
  const { ok, status, raw } = await ours(request(method, path, body)), text = new TextDecoder().decode(raw);
  let data = {};
  try { data = text ? JSON.parse(text) : {}; } catch { /* no JSON: the status tells */ }
  return { ok, status, data, said: status ? data.title ?? data.error ?? '' : silent };
}

// What a passkey answered, in the form of AuthenticationResponseJSON.
function answer(c) {
  const r = c.response, out = { clientDataJSON: url64(r.clientDataJSON) };
  for (const k of ['authenticatorData', 'signature', 'attestationObject']) if (r[k]) out[k] = url64(r[k]);
  return { id: c.id, rawId: url64(c.rawId), type: c.type, response: out, clientExtensionResults: {} };
}

export async function create(options) {
  const k = options.publicKey;
  const c = await navigator.credentials.create({ publicKey: { ...k, challenge: unurl64(k.challenge), user: { ...k.user, id: unurl64(k.user.id) }, excludeCredentials: (k.excludeCredentials ?? []).map(x => ({ ...x, id: unurl64(x.id) })) } });
  return answer(c);
}

async function get(challenge, rpId, ids) {
  return answer(await navigator.credentials.get({ signal: turn.signal, publicKey: { challenge, rpId, userVerification: 'required', timeout: 60000, allowCredentials: ids.map(id => ({ type: 'public-key', id: unb64(id) })) } }));
}

let mine = null; // { session, keys, rp_id, passkeys }
export const signedIn = () => mine !== null;

// signIn makes a session key and has the officer's passkey certify it.
export async function signIn(officer) {
  const keys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify']);
  const key = b64(await crypto.subtle.exportKey('spki', keys.publicKey));
  const begun = await call('POST', '/api/sign-in/begin', { officer, key });
  if (!begun.ok) return begun;
  const { session: s, rp_id, passkeys } = begun.data;
  // The challenge is computed here too: the passkey certifies this key and no
  // other, whatever the server says.
  const challenge = await sha256(utf8(`passage session 1\n${rp_id}\n${officer}\n${key}\n${s.issued}\n${s.expires}\n`));
  const certified = { officer, key, issued: s.issued, expires: s.expires, assertion: await get(challenge, rp_id, passkeys) };
  const done = await call('POST', '/api/sign-in/finish', certified);
  if (done.ok) mine = { session: certified, keys, rp_id, passkeys };
  return done;
}

// forget ends the session here, and whatever still waits for an answer in it.
export function forget() { mine = null; turn.abort(); turn = new AbortController(); }

async function sign(word, fresh) {
  const { session, keys, rp_id, passkeys } = mine, text = utf8(JSON.stringify({ ...word, at: Date.now() }));
  const e = { session, word: b64(text), signature: b64(await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, keys.privateKey, text)) };
  if (fresh) {
    const prefix = utf8('passage fresh 1\n'), all = new Uint8Array(prefix.length + text.length);
    all.set(prefix); all.set(text, prefix.length);
    e.fresh = await get(await sha256(all), rp_id, passkeys);
  }
  return e;
}
// say signs a word and has it delivered; fresh asks the passkey for this very
// word. It returns what deliver does, or why there was nothing to deliver.
export async function say(word, fresh, deliver) {
  let e;
  try { e = await ours(sign(word, fresh)); } catch (x) {
    if (x instanceof Locked) throw x;
    return { ok: false, said: x.name === 'NotAllowedError' ? 'The passkey was not used: nothing was sent.' : x.message };
  }
  return deliver(e);
}
