import { describe, expect, it } from 'vitest';
import { GroupWorker } from '../../../../src/bridge/delivery/group-worker.ts';

function gated(maxGroup = 100) {
  const groups: number[][] = [];
  const gates: { pass: () => void; fail: (error: Error) => void }[] = [];
  const failures: unknown[] = [];
  const worker = new GroupWorker<number>({
    maxGroup,
    onFailure: (error) => failures.push(error),
    work: (group) => {
      groups.push(group);
      return new Promise((pass, fail) => gates.push({ pass, fail }));
    },
  });
  const add = (...items: number[]) => {
    for (const item of items) worker.add(item);
    worker.start();
  };
  return { worker, groups, gates, failures, add };
}

describe('GroupWorker', () => {
  it('takes as one group what came while the one before was being worked on', async () => {
    const { worker, groups, gates, add } = gated();
    add(1);
    add(2, 3);
    add(4);
    expect(groups).toEqual([[1]]);
    gates[0]?.pass();
    await expect.poll(() => groups).toEqual([[1], [2, 3, 4]]);
    gates[1]?.pass();
    await worker.idle();
  });

  it('bounds a group and keeps the order', async () => {
    const { worker, groups, gates, add } = gated(2);
    add(1, 2, 3, 4, 5);
    for (let group = 0; group < 3; group += 1) {
      await expect.poll(() => gates.length).toBe(group + 1);
      gates[group]?.pass();
    }
    await worker.idle();
    expect(groups).toEqual([[1, 2], [3, 4], [5]]);
  });

  it('begins nothing more after a failure, and tells of it once', async () => {
    const { worker, groups, gates, failures, add } = gated();
    add(1);
    add(2);
    gates[0]?.fail(new Error('no'));
    await worker.idle();
    add(3);
    expect(groups).toEqual([[1]]);
    expect(failures).toEqual([new Error('no')]);
  });

  it('is idle at once when there is nothing to do', async () => {
    await gated().worker.idle();
  });
});
