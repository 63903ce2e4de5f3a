// What the page knows: the officer, the lanes as they were last heard, and what
// the officer looks at. All of it goes when the page is locked.
import { call, say } from './passkey.js';

export const lanes = new Map(); // id → { id, seen, away, view, problem }
export const watched = new Set(); // lanes that this officer is answerable for
export const here = { me: null, chosen: null };

export const may = right => !right || here.me.rights.includes(right);
export const go = (view, lane) => { location.hash = view + (lane ? '/' + encodeURIComponent(lane) : ''); };

// state is what a lane shows: a lane that is not heard is never fine.
export const state = l => l.away || !l.view ? 'NOT_SEEN' : l.view.state;

// tell signs a word and sends it. It returns what the lane said.
export const tell = (lane, word, fresh) => say({ lane, ...word }, fresh, e => call('POST', '/api/word/' + encodeURIComponent(lane), e, 'No connection: the lane may or may not have heard you. Look at its state.'));
// tellSite signs a word for the site itself and sends it to path, beside what else
// belongs to it. It returns what the site said.
export const tellSite = (path, word, fresh, more) => say({ lane: '.', ...word }, fresh, envelope => call('POST', path, { envelope, ...more }, 'No connection: look whether it was heard before you say it again.'));

const refusals = { stale: 'This case is over: somebody else decided, or the traveller has gone on.', not_now: 'Not possible in the lane’s present state.', not_allowed: 'The override table does not allow this.', reason: 'Write in the remark why: a release against an alarm or a register needs it.', second: 'Heard. A second officer must say the same.', unproven: 'The lane could not prove that you said this. Sign in again.' };
// meaning is an answer in words; empty when all went well.
export function meaning(r) {
  if (r.data?.error?.includes('passkey once more')) return 'This needs your passkey once more.';
  return r.ok && !r.data?.code ? '' : refusals[r.data?.code] ?? r.said ?? '';
}
// heard says whether an answer settles the matter.
export const heard = r => r.ok && r.data?.code !== 'second';
