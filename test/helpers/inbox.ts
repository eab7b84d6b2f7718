interface Waiter<T> {
  offer(item: T): boolean;
  fail(error: Error): void;
}

export interface Inbox<T> {
  put(item: T): void;
  /** Nothing more will come: rejects all who wait, and those to come once what is there is taken. */
  fail(error: Error): void;
  /** The oldest item that is wanted, now or later. Rejects when the time (ms, 5,000) is over. */
  take(isWanted: (item: T) => boolean, what: string, within?: number): Promise<T>;
}

/** Items and those who wait for them: each item is taken once, by the first that wants it. */
export function createInbox<T extends object>(): Inbox<T> {
  const items: T[] = [];
  const waiters: Waiter<T>[] = [];
  let failure: Error | null = null;

  return {
    put(item) {
      const index = waiters.findIndex((waiter) => waiter.offer(item));
      if (index === -1) items.push(item);
      else waiters.splice(index, 1);
    },
    fail(error) {
      failure ??= error;
      for (const waiter of waiters.splice(0)) waiter.fail(failure);
    },
    take(isWanted, what, within = 5_000) {
      return new Promise((resolve, reject) => {
        const index = items.findIndex(isWanted);
        const [item] = index === -1 ? [] : items.splice(index, 1);
        if (item !== undefined) return resolve(item);
        if (failure !== null) return reject(new Error(`waiting for ${what}: ${failure.message}`, { cause: failure }));
        const waiter: Waiter<T> = {
          offer(offered) {
            if (!isWanted(offered)) return false;
            clearTimeout(timer);
            resolve(offered);
            return true;
          },
          fail(error) {
            clearTimeout(timer);
            reject(new Error(`waiting for ${what}: ${error.message}`, { cause: error }));
          },
        };
        const timer = setTimeout(() => {
          waiters.splice(waiters.indexOf(waiter), 1);
          reject(new Error(`not within ${within} ms: ${what}`));
        }, within);
        waiters.push(waiter);
      });
    },
  };
}
