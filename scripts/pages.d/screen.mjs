// The traveller's screen under the policy that passage-screen brings: its
// browser shows the traveller's page and nothing else, whatever is typed on a
// keyboard that somebody brought along.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { holds, test, theStage } from './kit.mjs';

export default async function () {
  if (process.getuid() !== 0) { console.log('skip  screen: a browser gets a policy of its own by root only'); return; }
  const { lane } = await theStage(), port = new URL(lane).port;
  const dir = mkdtempSync(join(tmpdir(), 'screen-')), policy = join(dir, 'passage.json'), start = join(dir, 'chromium');
  // As the unit does it, the policy is there for this browser alone. What drives
  // the browser here needs an empty page and the tools of developers.
  const rules = JSON.parse(readFileSync('packaging/screen-policy.json', 'utf8').replaceAll(':8080', ':' + port));
  delete rules.DeveloperToolsAvailability;
  rules.URLAllowlist.push('about:blank');
  writeFileSync(policy, JSON.stringify(rules));
  writeFileSync(start, `#!/bin/sh
exec unshare --mount sh -c 'mount -t tmpfs tmpfs /etc/chromium && mkdir -p /etc/chromium/policies/managed && cp ${policy} /etc/chromium/policies/managed/ && exec /usr/bin/chromium "$@"' sh "$@"
`, { mode: 0o755 });
  const b = await chromium.launch({ executablePath: start, args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });
  const page = await b.newPage();
  const opens = async address => { try { await page.goto(address, { waitUntil: 'commit', timeout: 5000 }); return 'opens'; } catch (x) { return String(x.message).split('\n')[0]; } };
  try {
    await test('screen: the traveller’s page works under the policy', async () => {
      holds(await opens(`http://127.0.0.1:${port}/traveller`) === 'opens', 'the page is refused');
      await page.waitForSelector('body[data-screen]');
    });
    await test('screen: no other page opens: not the lane’s, not a file, not a setting', async () => {
      for (const address of [`http://127.0.0.1:${port}/lane`, `http://127.0.0.1:${port}/healthz`, `http://localhost:${port}/traveller`, `http://127.0.0.1:${+port + 50}/`,
        'file:///etc/passwd', 'file:///etc/passage/lane.toml', `view-source:http://127.0.0.1:${port}/traveller`, 'data:text/html,x']) {
        const said = await opens(address);
        holds(said.includes('ERR_BLOCKED_BY_ADMINISTRATOR'), `${address}: ${said}`);
      }
    });
  } finally { await b.close(); rmSync(dir, { recursive: true, force: true }); }
}
