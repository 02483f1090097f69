// Two Chromium pages that may use nothing but the relay call each other: a data channel and video, both ways.
//
// usage: call.mjs MODULES CHROMIUM JSON PIN
//
// MODULES is the directory that playwright-core is installed in, CHROMIUM the browser, JSON an RTCIceServer, PIN the
// SHA-256, in base64, of the public key that is trusted without an authority. Prints one line of JSON: what each page
// gathered and, if both have candidates, what went through.

import { createRequire } from 'node:module';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const DEADLINE_MS = 60_000;
const MESSAGES = 100;
const FRAMES = 60;

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // The relay under test is on a loopback address.
  '--allow-loopback-in-peer-connection',
  '--disable-features=WebRtcHideLocalIpsWithMdns',
];

const [modules, executablePath, iceServer, pin] = process.argv.slice(2);
FLAGS.push(`--ignore-certificate-errors-spki-list=${pin}`);
const { chromium } = createRequire(resolve(modules, 'package.json'))('playwright-core');

const profile = await mkdtemp(join(tmpdir(), 'turnkeep-chromium-'));
const context = await chromium.launchPersistentContext(profile, { executablePath, args: FLAGS, headless: true });
const deadline = setTimeout(() => context.close().then(() => process.exit(3)), DEADLINE_MS);
try {
  const pages = await Promise.all([0, 1].map(() => context.newPage()));
  console.log(JSON.stringify(await call(pages, JSON.parse(iceServer))));
} finally {
  clearTimeout(deadline);
  await context.close();
  await rm(profile, { recursive: true, force: true });
}

// Sets up the call as signalling would, and reports on each page.
async function call([caller, callee], server) {
  await Promise.all([caller, callee].map((page, index) => page.evaluate(prepare, { server, index, MESSAGES, FRAMES })));
  const offer = await caller.evaluate(() => window.agent.describe('createOffer'));
  await callee.evaluate((offer) => window.agent.accept(offer), offer);
  const answer = await callee.evaluate(() => window.agent.describe('createAnswer'));
  await caller.evaluate((answer) => window.agent.accept(answer), answer);

  const report = () => Promise.all([caller, callee].map((page) => page.evaluate(() => window.agent.report())));
  const before = await report();
  if (before.some(({ gathered }) => gathered.length === 0)) return before;
  await Promise.all([caller, callee].map((page) => page.evaluate(() => window.agent.talk())));
  return report();
}

// Runs in a page: makes `window.agent`, one end of the call.
async function prepare({ server, index, MESSAGES, FRAMES }) {
  const pc = new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: 'relay' });
  const errors = [];
  pc.onicecandidateerror = ({ errorCode, url }) => errors.push({ errorCode, url });

  const channel = pc.createDataChannel('data', { negotiated: true, id: 1 });
  let intact = 0;
  const payload = (sender, number) => `${sender}:${number}:`.padEnd(1 + number * 100, '.');
  channel.onmessage = ({ data }) => (intact += data === payload(1 - index, intact));

  // A picture that never stands still, in a colour of its own.
  const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 240 });
  const paint = canvas.getContext('2d');
  let step = 0;
  setInterval(() => {
    paint.fillStyle = index === 0 ? 'rgb(200, 0, 0)' : 'rgb(0, 0, 200)';
    paint.fillRect(0, 0, canvas.width, canvas.height);
    paint.fillStyle = 'white';
    paint.fillRect((step += 4) % canvas.width, 0, 20, 20);
  }, 33);
  pc.addTrack(...((stream) => [stream.getVideoTracks()[0], stream])(canvas.captureStream(30)));
  const video = Object.assign(document.createElement('video'), { muted: true, autoplay: true });
  document.body.append(video);
  pc.ontrack = ({ streams }) => (video.srcObject = streams[0]);

  const until = async (condition) => {
    while (!(await condition())) await new Promise((resume) => setTimeout(resume, 20));
  };
  const stats = async () => [...(await pc.getStats()).values()];
  const framesDecoded = async () => (await stats()).find(({ type }) => type === 'inbound-rtp')?.framesDecoded ?? 0;

  window.agent = {
    async describe(create) {
      await pc.setLocalDescription(await pc[create]());
      await until(() => pc.iceGatheringState === 'complete');
      return pc.localDescription.toJSON();
    },

    accept: (description) => pc.setRemoteDescription(description),

    // Sends all messages, and waits until as many have come and the other's video runs.
    async talk() {
      await until(() => channel.readyState === 'open');
      for (let number = 0; number < MESSAGES; number += 1) channel.send(payload(index, number));
      await until(() => intact === MESSAGES);
      const first = await framesDecoded();
      await until(async () => video.videoWidth && (await framesDecoded()) >= first + FRAMES);
      this.frames = [first, await framesDecoded()];
    },

    async report() {
      const all = await stats();
      const by = (id) => all.find((entry) => entry.id === id);
      const pair = by(all.find(({ type }) => type === 'transport')?.selectedCandidatePairId);
      const end = (id) => {
        const { candidateType, address, port, relayProtocol } = by(id);
        return { candidateType, address, port, relayProtocol };
      };
      const lines = pc.localDescription.sdp.split('\r\n').filter((line) => line.startsWith('a=candidate'));
      return {
        gathered: lines.map((line) => line.split(' ')[7]),
        errors,
        selected: pair && { local: end(pair.localCandidateId), remote: end(pair.remoteCandidateId) },
        intact,
        frames: this.frames,
        colour: video.videoWidth && colour(),
      };
    },
  };

  // What is in the middle of the other's picture.
  function colour() {
    const still = new OffscreenCanvas(video.videoWidth, video.videoHeight).getContext('2d');
    still.drawImage(video, 0, 0);
    const [red, green, blue] = still.getImageData(video.videoWidth / 2, video.videoHeight / 2, 1, 1).data;
    return { red, green, blue };
  }
}
