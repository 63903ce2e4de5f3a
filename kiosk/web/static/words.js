// What states, orders and reasons mean to an officer: one vocabulary for the
// lane page and the site's console.
export const tones = { IDLE: 'good', REVIEW: 'mid', HOLD: 'mid', MULTI: 'mid', LUGGAGE: 'mid', FALLBACK: 'bad', FAULT: 'bad', EVACUATE: 'bad', OUT_OF_SERVICE: 'bad' };
export const codes = { successful: ['✓', 'good'], failed: ['✗', 'bad'], undetermined: ['?', 'mid'], clear: ['✓', 'good'], not_applicable: ['–', 'dim'], local_copy: ['✓', 'mid'], hit_action: ['✗', 'bad'], hit_inquiry: ['!', 'bad'], possible: ['?', 'mid'], not_consulted: ['?', 'mid'], malformed: ['?', 'mid'], face_differs: ['✗', 'bad'], exhausted: ['✗', 'bad'], overstay: ['✗', 'bad'], unauthorised: ['✗', 'bad'] };
export const reasons = { release: ['visual_comparison', 'guardian_seen', 'purpose_and_means_checked', 'quality', 'consulted_elsewhere'], divert: ['doubt', 'document', 'face', 'traveller_asked', 'other'], hold: ['check_needed', 'other'], retry_face: ['pose', 'light', 'covered'], refer_second_line: ['hit', 'face', 'document', 'other'] };
// What a state means to the officer, and the orders that mean something in it.
export const say = {
  IDLE: 'Open. Waiting for a traveller.', OUT_OF_SERVICE: 'Closed. It opens by itself when an officer is on duty and every device works.',
  DOC_READ: 'The document is being read.', ELIGIBLE: 'The register is being asked.', TAKE_DOC: 'The traveller takes the document back.',
  ENTER: 'The entry is open.', SEALING: 'The entry closes behind the traveller.', INSIDE: 'The face is compared with the chip.',
  DECIDE: 'All answers are being weighed.', WAIT_DB: 'A register is slow. The traveller is asked to wait.', REVIEW: 'Compare the faces, read the checks, choose.',
  INTEND: 'Released. The decision is being written.', RELEASE: 'The exit is open.', CLEARING: 'The exit closes behind the traveller.', CHECK_EMPTY: 'Making sure that nobody is inside.',
  COMMIT: 'The crossing is being recorded.', DIVERT_OUT: 'Sent to the desk before entering.', DIVERT_IN: 'The entry is open: the person comes back out.', RETURNING: 'The entry closes.',
  MULTI: 'More than one person is inside. Speak to them; divert, or clear the alarm when you have seen one person only.', LUGGAGE: 'Something was left inside and nobody is. Order maintenance, take it out, close the entry, end maintenance.',
  HOLD: 'A person is held inside. Speak to them now, then divert, or take the case back to review.', FALLBACK: 'The gate has freed its entry. Help the person out.', FAULT: 'The gate is broken or not heard. Help the person out, then clear the fault.',
  EVACUATE: 'Evacuation: everybody out. End it when the cause is gone.',
};
export const orders = { open: 'Open lane', close: 'Close lane', renew: 'I am with the person', review: 'Back to review', clear_alarms: 'Clear alarms', clear_faults: 'Clear faults', maintenance: 'Maintenance', move_entry_open: 'Open entry', move_entry_close: 'Close entry', move_exit_open: 'Open exit', move_exit_close: 'Close exit', close_leaf: 'Close on a bag', end_maintenance: 'End maintenance', end_evacuate: 'End evacuation', more_time: 'More time', direction_entry: 'Serve entry', direction_exit: 'Serve exit', evacuate: 'Evacuate' };
// What an order does, where its name does not say it.
export const effects = { renew: 'The lane does not send the person back by itself for two more minutes.', review: 'Decide on this traveller once more.', maintenance: 'The leaves obey you, one at a time, and nobody is served.' };
export const alarms = { FIRE: 'fire alarm', EGRESS_BUTTON: 'egress button pressed', TAILGATE: 'two people close together', MULTI_PERSON: 'more than one person', LEFT_LUGGAGE: 'something left inside', FORCED_ENTRY: 'entry leaf forced', FORCED_EXIT: 'exit leaf forced', WRONG_WAY: 'somebody came in by the exit', DWELL: 'somebody inside for long', ENTRY_BLOCKED: 'entry blocked', EXIT_BLOCKED: 'exit blocked', INTRUSION: 'somebody inside unexpectedly', WATCHDOG: 'the gate had lost its controller', TAMPER: 'cabinet opened' };
export const alerts = { hit: 'Hit in a register: the person is held', document: 'Document suspicious', face: 'The register knows another face', multi: 'More than one person', luggage: 'Something left inside', help: 'Help button', dwell: 'Somebody inside for long', camera: 'Camera shows nothing', doc_left: 'Document forgotten on the reader', review: 'A decision is overdue', hold: 'A person is held and waits', door: 'A leaf does not move or is blocked', forced: 'A leaf was forced', wrong_way: 'Somebody came in by the exit', intrusion: 'Somebody inside unexpectedly', link: 'The gate is not heard', fault: 'The gate is broken', fallback: 'The gate has freed its entry', evacuate: 'Evacuation', state: 'The gate is in an unexpected state', storage: 'The disk does not take a record', turned: 'The person did not leave by the exit' };
// possible says whether an order means anything to this lane now. Who serves both
// directions can be turned while nobody is being served.
const resting = ['IDLE', 'OUT_OF_SERVICE'], own = ['DOC_READ', 'ELIGIBLE', 'TAKE_DOC', 'ENTER', 'SEALING', 'INSIDE', 'DECIDE', 'WAIT_DB', 'REVIEW', 'HOLD', 'MULTI'];
export function possible(o, v) {
  if (o.startsWith('direction_')) return !!v.both_ways && resting.includes(v.state) && o !== 'direction_' + v.direction;
  return o !== 'more_time' || own.includes(v.state) && !v.unhurried;
}
// doubts is what is asked before an order that is not taken back easily.
export const doubts = (o, lane) => o === 'evacuate' ? `Evacuate ${lane}? The gate frees its way out.` : o.startsWith('direction_') ? `Turn ${lane} round to ${o.slice(10)}, from the next traveller on? Its signs and barriers have to follow.` : '';
// fitting lists the orders for now, the first one being the likeliest.
export function fitting(v) {
  const alarmed = (v.gate.alarms ?? []).length > 0, list = [];
  if (v.gate.state === 'MAINTENANCE') list.push(...(v.gate.entry > 0 ? ['move_entry_close'] : v.state === 'LUGGAGE' ? ['move_entry_open', 'end_maintenance'] : ['end_maintenance']));
  else if (v.state === 'LUGGAGE') list.push('maintenance');
  if (v.state === 'FAULT') list.push('clear_faults');
  if (v.state === 'EVACUATE') list.push('end_evacuate');
  if (alarmed && ['OUT_OF_SERVICE', 'MULTI', 'FALLBACK'].includes(v.state)) list.push('clear_alarms');
  if (v.gate.occupied) list.push('renew');
  if (v.state === 'HOLD') list.push('review');
  if (v.closed) list.push('open'); else if (v.state === 'IDLE') list.push('close');
  return list;
}
export const whys = { FACE: 'The live face does not match the chip, or was not good enough to compare.', PAD: 'Attack detection calls you: a mask, a picture or a screen?', OFFICER: 'This traveller needs an officer’s confirmation.', ALERT: 'A register has an entry that asks for you.', STAY: 'The authorised stay could not be determined.', MULTI: 'More than one person was inside.', EES_FACE: 'The register knows another face for this file.', HELP: 'The traveller pressed the help button.', CAMERA: 'The camera or the face matcher failed.', TURNED: 'The person did not leave by the exit.', TIMEOUT: 'Something took too long.', DB_OFF: 'A mandatory register did not answer.' };
// What a traveller is taken for, and why the lane does not go on by itself, where
// there is little room. Exports and logs have the lane's own names.
export const classes = { unknown: '', DIPLO: 'diplomatic', REFUGEE: 'refugee', CREW: 'crew', TCN_RESIDENT: 'resident', FAM_CARD: 'family, with card', FAM_NOCARD: 'family, no card', EU: 'EU', TCN_MICRO: 'microstate', TCN_LISTED: 'visa-free', TCN_VISA: 'needs a visa', TCN_EXEMPT_OTHER: 'visa-free, not listed' };
export const because = {
  AGE: 'age', NAT: 'nationality', VISA: 'needs a visa', RP: 'residence permit', FAMILY: 'family member', DOC_TYPE: 'kind of document', DOC_EXPIRED: 'document expired', MRZ: 'printed lines not read', NO_CHIP: 'no chip', CHIP_READ: 'chip not read', PA_UNDET: 'signer not known', PA_FAIL: 'data not genuine', CHIP_AUTH: 'chip not genuine',
  EES_NOT_REG: 'not in the EES', EES_AMBIG: 'several EES files', EES_FACE: 'another face in the EES', STAY: 'stay', OVERSTAY: 'overstay', ENTRIES: 'no entries left', ETIAS: 'ETIAS', STAMP: 'needs a stamp', ALERT: 'register entry', DB_OFF: 'register away',
  FACE: 'face', PAD: 'attack alarm', MULTI: 'several people', LUGGAGE: 'left luggage', TIMEOUT: 'took too long', XGATE: 'another lane', RANDOM: 'by chance', OFFICER: 'to confirm', DOC_LEFT: 'document left', HELP: 'help button', CAMERA: 'camera', TURNED: 'did not leave', FIRE: 'fire',
};
// What is asked, by the lane's name for it.
export const registers = { SIS: 'SIS: persons, documents', SLTD: 'Interpol: lost documents', FPR: 'national: persons', LOST: 'national: lost documents', FILE: 'EES: file', REF_FACE: 'EES: face', STAY: 'EES: days of stay', ETIAS: 'ETIAS' };
// What a state is called where there is little room.
export const short = {
  IDLE: 'open', OUT_OF_SERVICE: 'closed', DOC_READ: 'reading', ELIGIBLE: 'asking register', TAKE_DOC: 'document back', ENTER: 'stepping in', SEALING: 'entry closing', INSIDE: 'face', DECIDE: 'deciding', WAIT_DB: 'register slow',
  REVIEW: 'your decision', INTEND: 'releasing', RELEASE: 'leaving', CLEARING: 'exit closing', CHECK_EMPTY: 'checking', COMMIT: 'recording', DIVERT_OUT: 'to the desk', DIVERT_IN: 'coming back', RETURNING: 'entry closing',
  MULTI: 'several people', LUGGAGE: 'left luggage', HOLD: 'person held', FALLBACK: 'entry freed', FAULT: 'broken', EVACUATE: 'evacuation', NOT_SEEN: 'not seen',
};
