import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { startDevBroker } from '../../src/dev-broker.ts';
import { launchBridge } from '../helpers/bridge-process.ts';
import { freePorts } from '../helpers/ports.ts';
import { type RunningProcess, startProcess } from '../helpers/process.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';
import { read, section } from '../unit/docs/markdown.ts';

/** One thing that a reader of the tour does, and where it stands. */
type Step = { readonly line: number } & (
  | { readonly kind: 'stop' }
  | { readonly kind: 'start'; readonly mqttUrl: string | undefined }
  | { readonly kind: 'mosquitto'; readonly port: string }
  | { readonly kind: 'paste'; readonly code: string; expected?: { readonly kind: 'json' | 'text'; text: string } }
);

const STOP = 'Stop the bridge with Ctrl-C';
const START = /^(?:MQTT_URL=(\S+) )?npm start$/;
const MOSQUITTO = /^mosquitto -p (\d+)$/;
/** Stands in an answer for text that differs each time. */
const ANY_TEXT = '…';

function readTour(): Step[] {
  const readme = read('README.md');
  const tour = section(readme, 'A five-minute tour');
  const firstLine = readme.slice(0, readme.indexOf(tour)).split('\n').length;
  const steps: Step[] = [];
  const pieces = /^```(\w+)\n(.*?)^```$|^[^\n]*Stop the bridge with Ctrl-C[^\n]*$/gms;
  for (const { 0: piece, 1: language, 2: content = '', index } of tour.matchAll(pieces)) {
    const line = firstLine + tour.slice(0, index).split('\n').length - 1;
    const last = steps.at(-1);
    if (piece.includes(STOP)) steps.push({ line, kind: 'stop' });
    else if (language === 'sh') steps.push({ line, ...readCommand(content.trim()) });
    else if (last?.kind === 'paste' && (language === 'json' || language === 'text') && last.expected === undefined) {
      last.expected = { kind: language, text: content };
    } else throw new Error(`README.md:${line}: an answer without a command before it`);
  }
  return steps;
}

function readCommand(code: string) {
  const start = START.exec(code);
  if (start !== null) return { kind: 'start', mqttUrl: start[1] } as const;
  const [, port] = MOSQUITTO.exec(code) ?? [];
  return port === undefined ? ({ kind: 'paste', code } as const) : ({ kind: 'mosquitto', port } as const);
}

/** A JSON text of the tour as a pattern. */
function toPattern(text: string): Record<string, unknown> {
  return JSON.parse(text, (_, value) => (value === ANY_TEXT ? expect.any(String) : value));
}

/** The reader's machine: its ports, its terminals, and the folder in which the bridge is started. */
async function startMachine() {
  const directory = temporaryDirectory('readme');
  const [http = 0, development = 0, mosquitto = 0] = await freePorts(3);
  // In the process of the bridge it would listen on 1883, which may be taken on the machine that runs the tests.
  const broker = await startDevBroker({ host: '127.0.0.1', port: development });
  let bridge: RunningProcess | undefined;
  let external: RunningProcess | undefined;
  onTestFinished(async () => {
    await Promise.all([bridge?.kill(), external?.stop()]);
    await broker.close();
  });
  const here = (text: string) =>
    text
      .replaceAll('http://127.0.0.1:8080', `http://127.0.0.1:${http}`)
      .replaceAll('mqtt://127.0.0.1:1884', `mqtt://127.0.0.1:${mosquitto}`)
      .replaceAll('-p 1884', `-p ${mosquitto}`);
  return {
    async start(mqttUrl: string | undefined) {
      if (bridge?.exit === null) throw new Error('the bridge was not stopped before');
      bridge = await launchBridge(directory, {
        PORT: String(http),
        MQTT_URL: mqttUrl === undefined ? broker.url : here(mqttUrl),
      });
      await bridge.waitForOutput(/"msg":"listening"/, 20_000);
    },
    async stop() {
      bridge?.signal('SIGINT');
      expect(await bridge?.exited).toEqual({ code: 0, signal: null });
    },
    async startMosquitto() {
      // Debian puts it where the PATH of an ordinary user does not lead.
      const env = { PATH: `${process.env.PATH}:/usr/sbin:/usr/local/sbin` };
      external = await startProcess('mosquitto', ['-p', String(mosquitto)], { env });
      await external.waitForOutput(/mosquitto version \S+ running/);
    },
    async paste(code: string): Promise<string> {
      return (await promisify(execFile)('sh', ['-ec', here(code)])).stdout.trim();
    },
  };
}

test('the tour of the README works when it is pasted, and answers what it shows', { timeout: 60_000 }, async () => {
  const machine = await startMachine();
  const steps = readTour();
  expect(steps.filter(({ kind }) => kind === 'paste').length).toBeGreaterThan(15);
  for (const step of steps) {
    if (step.kind === 'stop') await machine.stop();
    else if (step.kind === 'start') await machine.start(step.mqttUrl);
    else if (step.kind === 'mosquitto') await machine.startMosquitto();
    else await paste(machine, step);
  }
});

/** What only reads may come a moment before what it is to read: it is read again until it shows, as a reader would. */
async function paste(
  machine: Awaited<ReturnType<typeof startMachine>>,
  { line, code, expected }: Extract<Step, { kind: 'paste' }>,
): Promise<void> {
  const where = `README.md:${line}`;
  if (expected === undefined) {
    await machine.paste(code);
    return;
  }
  const answer = async () => {
    const output = await machine.paste(code);
    return expected.kind === 'json' ? (JSON.parse(output.split('\n').at(-1) ?? '') as unknown) : output;
  };
  const onlyReads = !/ -(X|d) /.test(code);
  const assertion = onlyReads
    ? expect.poll(answer, { timeout: 10_000, message: where })
    : expect(await answer(), where);
  if (expected.kind === 'json') await assertion.toMatchObject(toPattern(expected.text));
  else await assertion.toBe(expected.text.trim());
}
