import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  declareMany,
  loads,
  ownedBy,
  parameters,
  pathOf,
  SCENE_WITHIN,
  type Scene,
  startScene,
  untilAllOnline,
  untilStory,
  views,
} from '../helpers/fleet-scene.ts';
import { startStandalone } from '../helpers/fleet-stores.ts';
import { connectPublisher } from '../helpers/kill-publisher.ts';
import { FAULTLESS, judge, Sender } from '../helpers/ledger.ts';
import { print, printTimes } from '../helpers/measured.ts';
import { readToTheEnd } from '../helpers/traffic-consumer.ts';
import { until } from '../helpers/until.ts';

const CONNECTIONS = 30;
/** Milliseconds for a new instance to be given its part. */
const REBALANCED = 30_000;
/** How many may be on their way at the same time: gentle is a few, and not all that are to move. */
const ON_THEIR_WAY = CONNECTIONS / 3;
/** At the broker: nothing, or from one instance to another, perhaps to a third. */
const HANDED_ON = /^(disconnected, connected(, disconnected, connected)?)?$/;
/** Milliseconds. */
const PUBLISHES_EVERY = 50;

/** Every third one ends with its network connection: it cannot move without losing what comes meanwhile. */
const isPersistent = (id: string) => Number(id.split('-')[1]) % 3 !== 0;

describe('placement', () => {
  let scene: Scene;
  let ids: string[];
  beforeAll(async () => {
    scene = await startScene({ startStore: startStandalone });
  }, SCENE_WITHIN);
  afterAll(() => scene?.stop());

  it('Connections that are all opened at one instance are spread over the three', async () => {
    const [first] = scene.fleet.instances;
    if (first === undefined) throw new Error('unreachable');
    ids = await declareMany(first, 'spread', CONNECTIONS, (id) => parameters(id, isPersistent(id) ? 3_600 : 0));
    const all = await untilAllOnline(scene.fleet);
    print(`owners: ${JSON.stringify(loads(all))}`);
    for (const { nodeId } of scene.fleet.instances) {
      expect(ownedBy(all, nodeId).length, nodeId).toBeGreaterThanOrEqual(CONNECTIONS / 4);
    }
    const others = ids.filter((id) => !isPersistent(id));
    await untilStory(scene.log, others, 0, /^connected$/);
  }, 60_000);

  it('an instance that joins is given some, gently: persistent ones, of which nothing is lost', async () => {
    const { fleet, log, wills } = scene;
    const startedAt = performance.now();
    const publishing = publishTo(ids.filter(isPersistent));
    const joined = await fleet.add();
    const joinedAt = performance.now();
    const enough = Math.floor(CONNECTIONS / fleet.instances.length / 2);
    await until(async () => ownedBy(await views(fleet), joined).length >= enough, {
      what: `${enough} Connections have moved to the new instance`,
      within: REBALANCED,
    });
    printTimes('joined until half of its part had moved', [performance.now() - joinedAt]);
    const senders = await publishing.stop();
    for (const sender of senders) await expectReceived(sender);
    const all = await untilAllOnline(fleet);
    print(`owners: ${JSON.stringify(loads(all))}`);

    await untilStory(log, ids, startedAt, (id) => (isPersistent(id) ? HANDED_ON : /^$/));
    for (const id of ids) expect(all.get(id), id).toMatchObject({ generation: 1 });
    const atOnce = log.mostDetached((id) => ids.includes(id), startedAt);
    print(`on their way at the same time: ${atOnce} at most`);
    expect(atOnce).toBeLessThanOrEqual(ON_THEIR_WAY);
    expect(log.takeOvers()).toEqual([]);
    expect(wills.received).toEqual([]);
    const json = { topic: 'elsewhere', payload: 'x', qos: 1 };
    for (const id of ids) {
      expect((await joined.request('POST', `${pathOf(id)}/publish`, { json })).status, id).toBe(200);
    }
  }, 60_000);

  /** Publishes to all of them again and again, at QoS 1, from an independent client. */
  function publishTo(targets: readonly string[]): { stop(): Promise<Sender[]> } {
    const senders = targets.map((id) => new Sender(id));
    let stopped = false;
    const run = async () => {
      const publisher = await connectPublisher(scene.broker.port);
      while (!stopped) {
        const sending = senders.map(async (sender) => {
          const [payload = ''] = sender.begin(1);
          await publisher.publish(`${sender.name}/in`, payload, 1);
          sender.acknowledge([payload]);
        });
        await Promise.all([...sending, pause(PUBLISHES_EVERY)]);
      }
      publisher.close();
    };
    const ended = run();
    return {
      async stop() {
        stopped = true;
        await ended;
        return senders;
      },
    };
  }

  async function expectReceived(sender: Sender): Promise<void> {
    let received: string[] = [];
    const last = sender.sent.at(-1) ?? '';
    const isComplete = async () => {
      received = (await readToTheEnd(scene.fleet, pathOf(sender.name))).messages.map(({ payload }) => payload);
      return received.includes(last);
    };
    await until(isComplete, { what: `the last message to ${sender.name}` });
    expect(judge({ ...sender, received, qos: 1 }), sender.name).toEqual(FAULTLESS);
  }
});
