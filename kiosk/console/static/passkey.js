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

export async function call(method, path, body) {
  const r = await fetch(path, { method, body: body === undefined ? undefined : JSON.stringify(body) });
  if (r.status === 401) document.dispatchEvent(new Event('signed-out'));
  const text = await r.text();
  let data = {};
  try { data = text ? JSON.parse(text) : {}; } catch { /* no JSON: the status tells */ }
  return { ok: r.ok, status: r.status, data, said: data.title ?? data.error ?? '' };
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
  return answer(await navigator.credentials.get({ publicKey: { challenge, rpId, userVerification: 'required', timeout: 60000, allowCredentials: ids.map(id => ({ type: 'public-key', id: unb64(id) })) } }));
}

let session = null, keys = null, party = null;
export const signedIn = () => session !== null;

// signIn makes a session key and has the officer's passkey certify it.
export async function signIn(officer) {
  keys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify']);
  const key = b64(await crypto.subtle.exportKey('spki', keys.publicKey));
  const begun = await call('POST', '/api/sign-in/begin', { officer, key });
  if (!begun.ok) return begun;
  const { session: s, rp_id, passkeys } = begun.data;
  // The challenge is computed here too: the passkey certifies this key and no
  // other, whatever the server says.
  const challenge = await sha256(utf8(`passage session 1\n${rp_id}\n${officer}\n${key}\n${s.issued}\n${s.expires}\n`));
  const certified = { officer, key, issued: s.issued, expires: s.expires, assertion: await get(challenge, rp_id, passkeys) };
  const done = await call('POST', '/api/sign-in/finish', certified);
  if (done.ok) { session = certified; party = { rp_id, passkeys }; }
  return done;
}

export function forget() { session = keys = party = null; }

// say signs a word. fresh asks the passkey for this very word.
export async function say(word, fresh) {
  const text = utf8(JSON.stringify({ ...word, at: Date.now() }));
  const e = { session, word: b64(text), signature: b64(await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, keys.privateKey, text)) };
  if (fresh) {
    const prefix = utf8('passage fresh 1\n'), all = new Uint8Array(prefix.length + text.length);
    all.set(prefix); all.set(text, prefix.length);
    e.fresh = await get(await sha256(all), party.rp_id, party.passkeys);
  }
  return e;
}
