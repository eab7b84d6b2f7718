import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { bundleForLambda, LAMBDA } from '../functions/lambda.ts';
import type { Answer } from '../helpers/bridge-process.ts';
import type { Instance } from '../helpers/fleet.ts';
import { pathOf, SCENE_WITHIN, type Scene, type SceneOptions, startScene } from '../helpers/fleet-scene.ts';
import { type FleetStore, startStandalone } from '../helpers/fleet-stores.ts';
import { type RawSubscriber, startSubscriber } from '../helpers/kill-subscriber.ts';
import { FAULTLESS, judge, Sender } from '../helpers/ledger.ts';
import { printTimes } from '../helpers/measured.ts';
import { until } from '../helpers/until.ts';

/** Seconds; Mosquitto gives a client up after one and a half of them, and looks for such every few seconds. */
const KEEP_ALIVE = 2;
const LEVELS = [0, 1, 2] as const;
type Level = (typeof LEVELS)[number];
/** Milliseconds until Mosquitto has noticed. */
const GIVEN_UP_WITHIN = 10_000;

beforeAll(bundleForLambda);

describe.each<[string, Pick<SceneOptions<FleetStore>, 'program'>]>([
  ['a process in function mode', {}],
  ['a sandbox of Lambda with the AWS bundle', { program: LAMBDA }],
])('a function that is frozen (SIGSTOP) past 1.5 times the Keep Alive: %s', (_, program) => {
  let scene: Scene;
  let frozen: Instance;
  let other: Instance;
  let arrivals: RawSubscriber;
  let senders: ReadonlyMap<string, Sender>;
  beforeAll(async () => {
    scene = await startScene({
      ...{ startStore: startStandalone, count: 2, wired: true, env: { BRIDGE_MODE: 'function' }, ...program },
    });
    [frozen, other] = scene.fleet.instances as [Instance, Instance];
    arrivals = await startSubscriber(scene.broker.port, 'judge', 'out/#');
  }, SCENE_WITHIN);
  afterAll(async () => {
    arrivals?.stop();
    await scene?.stop();
  });
  afterEach(() => {
    frozen?.thaw();
    scene?.wiresOf(frozen).broker.mend();
  });

  /** One Connection for each QoS, warm where it may be; named apart from those of the other tests. */
  async function declareAll(name: string, more: object = {}): Promise<string[]> {
    const ids = LEVELS.map((qos) => `${name}-${qos}`);
    senders = new Map(ids.map((id) => [id, new Sender(`out/${id}`)]));
    for (const id of ids) {
      const json = { keepAlive: KEEP_ALIVE, sessionExpiryInterval: 3_600, connectTimeout: 5, ...more };
      const { status, text } = await frozen.request('PUT', pathOf(id), { json });
      expect(status, text).toBe(201);
      expect(await publish(frozen, id)).toMatchObject({ status: statusOf(id) });
    }
    return ids;
  }

  async function publish(at: Instance, id: string): Promise<Answer<{ type?: string }>> {
    const sender = senders.get(id);
    const [payload = ''] = sender?.begin(1) ?? [];
    const json = { topic: sender?.name, payload, qos: qosOf(id), timeout: 10 };
    const answer = await at.request<{ type?: string }>('POST', `${pathOf(id)}/publish`, { json });
    if (answer.status < 300) sender?.acknowledge([payload]);
    else if (!isUnknown(answer.json.type, qosOf(id))) sender?.refuse(payload);
    return answer;
  }

  /** All that was acknowledged has arrived at an independent subscriber, in order, and at QoS 2 once. */
  async function expectNothingLost(): Promise<void> {
    for (const [id, sender] of senders) {
      const received = () => arrivals.received.filter(({ topic }) => topic === sender.name).map((one) => one.payload);
      await until(() => [...sender.acknowledged].every((payload) => received().includes(payload)), { what: id });
      const qos = qosOf(id) === 2 ? 2 : 1;
      expect(judge({ ...sender, received: received(), qos }), id).toEqual(FAULTLESS);
    }
  }

  const lost = (ids: readonly string[], since: number) => () =>
    ids.every((id) => scene.log.of(id).some(({ kind, at }) => kind === 'lost' && at > since));

  it('between requests: what it answers after that has arrived, at every QoS, with a Will too', async () => {
    const warm = await declareAll('warm');
    const before = senders;
    const withWill = await declareAll('will', { will: { topic: 'will/gone', payload: 'gone', qos: 1 } });
    senders = new Map([...before, ...senders]);
    const since = performance.now();
    frozen.freeze();
    await until(lost(warm, since), { what: 'the broker has given the warm ones up', within: GIVEN_UP_WITHIN });
    frozen.thaw();
    const times: number[] = [];
    for (const id of [...warm, ...withWill]) {
      const askedAt = performance.now();
      expect((await publish(frozen, id)).status, id).toBe(statusOf(id));
      times.push(performance.now() - askedAt);
    }
    printTimes('thawed, a publish', times);
    await expectNothingLost();
    expect(scene.wills.received).toEqual([]);
    expect(scene.log.takeOvers()).toEqual([]);
  }, 30_000);

  it('between requests, while another function used the Connection: nothing is sent over what was warm', async () => {
    const ids = await declareAll('shared');
    const since = performance.now();
    frozen.freeze();
    for (const id of ids) expect((await publish(other, id)).status, id).toBe(statusOf(id));
    frozen.thaw();
    const thawedAt = performance.now();
    for (const id of ids) expect((await publish(frozen, id)).status, id).toBe(statusOf(id));
    await expectNothingLost();
    const { sent } = scene.wiresOf(frozen).broker;
    const late = sent.filter(({ at, connectedAt }) => at > thawedAt && connectedAt < since);
    expect(late.filter(({ cmd }) => cmd !== 'disconnect')).toEqual([]);
  }, 30_000);

  it('into a network that swallows everything: nothing is answered 202 until the broker is reached', async () => {
    const ids = await declareAll('silent');
    const wire = scene.wiresOf(frozen).broker;
    wire.stall();
    // Longer than a broker is believed to be there because it was heard.
    const deadSince = performance.now();
    await until(() => performance.now() - deadSince > 1_200, { what: 'the connection has slept' });
    const answers = ids.map((id) => publish(frozen, id));
    const early = await Promise.race([...answers, new Promise((resolve) => setTimeout(resolve, 1_000, 'none'))]);
    expect(early).toBe('none');
    wire.mend();
    for (const [index, id] of ids.entries()) expect((await answers[index])?.status, id).toBe(statusOf(id));
    await expectNothingLost();
  }, 30_000);

  it('in the middle of requests: what was answered as done is done, and QoS 2 once, whoever goes on', async () => {
    const ids = await declareAll('middle');
    const callers = ids.map((id) => ({ id, go: true, answered: 0 }));
    const calling = callers.map(async (caller) => {
      while (caller.go) {
        await publish(frozen, caller.id);
        caller.answered += 1;
      }
    });
    const flows = (count: number) => {
      const from = callers.map(({ answered }) => answered);
      return until(() => callers.every(({ answered }, index) => answered >= (from[index] ?? 0) + count), {
        what: `${count} more are answered`,
      });
    };
    await flows(20);
    const since = performance.now();
    frozen.freeze();
    await until(lost(ids, since), { what: 'the broker has given them up', within: GIVEN_UP_WITHIN });
    frozen.thaw();
    await flows(20);
    for (const caller of callers) caller.go = false;
    await Promise.all(calling);
    for (const id of ids) expect((await publish(other, id)).status, id).toBe(statusOf(id));
    await expectNothingLost();
    for (const id of ids) {
      const { json } = await other.request<{ generation: number; state: string }>('GET', pathOf(id));
      expect(json).toMatchObject({ generation: 1, state: 'parked' });
    }
  }, 40_000);
});

function qosOf(id: string): Level {
  return Number(id.at(-1)) as Level;
}

function statusOf(id: string): number {
  return qosOf(id) === 0 ? 202 : 200;
}

/** At QoS 2 the store may have an exchange although it gave no answer in time, and another owner goes on with it: docs/delivery.md. */
function isUnknown(type = '', qos: Level): boolean {
  return /outcome-unknown|no-answer/.test(type) || (qos === 2 && type === '/problems/store-unavailable');
}
