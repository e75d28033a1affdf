// A WebRTC phone: JsSIP in a headless Chromium, which does one step after the other and tells when each is done.
//
//   node phone.mjs wss://ADDRESS:PORT USER@HOST:PORT AUTHORITY.pem STEP...
//
//   register             registers
//   answer:hang-up       waits for a call, answers it, and ends it
//   answer:wait          waits for a call, answers it, and waits until the other side ends it
//   call:USER:hang-up    calls, and ends the call
//   call:USER:wait       calls, and waits until the other side ends the call
//   unregister           ends the registration
//
// JsSIP in Node, with a stand-in for RTCPeerConnection, looked simpler. It would speak through a WebSocket and TLS that no
// browser has, and take any session description for a good one.

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';

/** Where the phone's page is said to come from: what browsers send as Origin. */
const ORIGIN = 'https://phone.example';

const STEP_LIMIT_MS = 20_000;

const [server, aor, authority, ...steps] = process.argv.slice(2);
trust(authority);
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-sync', '--use-fake-device-for-media-stream'],
});
try {
  const page = await open(browser);
  await within(page.evaluate(([server, aor]) => startPhone(server, aor), [server, aor]), 'connect');
  for (const step of steps) {
    console.log(`${step}: ${await within(page.evaluate((step) => take(step), step), step)}`);
  }
} finally {
  await browser.close();
}

/** Makes Chromium trust a certificate authority: that of the home directory it runs in. */
function trust(authority) {
  const store = join(homedir(), '.pki/nssdb');
  mkdirSync(store, { recursive: true });
  execFileSync('certutil', ['-N', '-d', `sql:${store}`, '--empty-password']);
  execFileSync('certutil', ['-A', '-d', `sql:${store}`, '-n', 'authority', '-t', 'C,,', '-i', authority]);
}

/** A page with JsSIP and `inPage`, from an origin that no server need have, with a microphone that beeps. */
async function open(browser) {
  const context = await browser.newContext({ permissions: ['microphone', 'local-network-access'] });
  const page = await context.newPage();
  page.on('console', (message) => console.log(`  ${message.text()}`));
  await page.route(`${ORIGIN}/`, (route) => route.fulfill({ contentType: 'text/html', body: '<title>phone</title>' }));
  await page.goto(`${ORIGIN}/`);
  const resolveDir = fileURLToPath(new URL('.', import.meta.url));
  const stdin = { contents: `import JsSIP from 'jssip'; (${inPage})(JsSIP);`, resolveDir };
  const bundle = await build({ stdin, bundle: true, format: 'iife', write: false });
  await page.addScriptTag({ content: bundle.outputFiles[0].text });
  return page;
}

async function within(done, step) {
  const error = new Error(`${step}: not within ${STEP_LIMIT_MS} ms`);
  const late = new Promise((_, reject) => setTimeout(reject, STEP_LIMIT_MS, error).unref());
  return Promise.race([done, late]);
}

/** What runs in the page: gives it `startPhone` and `take`. */
function inPage(JsSIP) {
  let phone;
  let domain;
  let incoming;

  globalThis.startPhone = (server, aor) => {
    domain = aor.split('@')[1];
    const sockets = [new JsSIP.WebSocketInterface(server)];
    phone = new JsSIP.UA({ sockets, uri: `sip:${aor}`, register: false });
    // A queue: a call may come before the step that answers it has begun.
    incoming = queue((put) => phone.on('newRTCSession', (event) => event.originator === 'remote' && put(event.session)));
    phone.on('newTransaction', ({ transaction: { request } }) => console.log(`${request.method} ${request.ruri}`));
    phone.on('disconnected', ({ code, reason }) => console.log(`disconnected: ${code} ${reason}`));
    const connected = new Promise((resolve) => phone.once('connected', resolve));
    phone.start();
    return connected.then(() => {});
  };

  globalThis.take = (step) => {
    const [action, ...rest] = step.split(':');
    return { register, unregister, answer, call }[action](...rest);
  };

  async function register() {
    phone.register();
    const { response } = await outcome(phone, 'registered', 'registrationFailed');
    return response.getHeader('Contact');
  }

  async function unregister() {
    phone.unregister();
    await outcome(phone, 'unregistered', 'registrationFailed');
    return 'unregistered';
  }

  async function answer(ending) {
    const { value: session } = await incoming.read();
    session.answer({ mediaConstraints: { audio: true } });
    return confirmedAndEnded(session, ending);
  }

  function call(user, ending) {
    // The whole URI: JsSIP would complete a user by a host without a port, which is another address of record.
    return confirmedAndEnded(phone.call(`sip:${user}@${domain}`, { mediaConstraints: { audio: true } }), ending);
  }

  /**
   * A call is confirmed when its ACK was sent or has come: only then does either side end it. A BYE right behind the ACK
   * may overtake it, as the registrar reads what comes over UDP with several processes.
   */
  async function confirmedAndEnded(session, ending) {
    await outcome(session, 'confirmed', 'failed');
    const ended = outcome(session, 'ended', 'failed');
    if (ending === 'hang-up') setTimeout(() => session.terminate(), 300);
    const { originator, cause } = await ended;
    return `ended by ${originator}, ${cause}`;
  }

  function queue(fill) {
    return new ReadableStream({ start: (controller) => fill((item) => controller.enqueue(item)) }).getReader();
  }

  function outcome(source, good, bad) {
    return new Promise((resolve, reject) => {
      source.once(good, resolve);
      source.once(bad, ({ cause, message }) => reject(new Error(`${bad}: ${cause} ${message ?? ''}`)));
    });
  }
}
