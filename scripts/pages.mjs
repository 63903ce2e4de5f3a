// Tests the pages in Debian's Chromium: scripts/pages runs it. Each part is a
// file of pages.d; all of them without arguments.
import { readdirSync } from 'node:fs';
import { done, test } from './pages.d/kit.mjs';

const all = readdirSync(new URL('pages.d', import.meta.url)).map(f => f.replace(/\.mjs$/, '')).filter(f => f !== 'kit');
const wanted = process.argv.slice(2), unknown = wanted.filter(p => !all.includes(p));
if (unknown.length) { console.log(`no such part: ${unknown}; there are ${all.join(', ')}`); process.exit(2); }
for (const part of wanted.length ? wanted : all) {
  const { default: run } = await import(`./pages.d/${part}.mjs`);
  // What a part needs before its first test fails as a test, too.
  try { await run(); } catch (x) { await test(part, () => { throw x; }); }
}
process.exit(await done());
