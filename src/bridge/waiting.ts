/** What `within` resolves with when the time is over. */
export const LATE = Symbol('late');

/** Waits for a task, but no longer than that many milliseconds; what becomes of it later is nobody's concern. */
export async function within<Result>(ms: number, task: Promise<Result>): Promise<Result | typeof LATE> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<typeof LATE>((resolve) => {
    timer = setTimeout(resolve, ms, LATE);
  });
  try {
    return await Promise.race([task, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits for a task unless the signal comes first: then it rejects with the signal's reason. */
export async function unlessAborted<Result>(signal: AbortSignal, task: Promise<Result>): Promise<Result> {
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort);
  });
  try {
    return await Promise.race([task, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    // Its own end no longer matters to anybody.
    task.catch(() => undefined);
  }
}
