import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { atEnd } from './at-end.ts';

export interface ProcessOptions {
  readonly cwd?: string;
  /** Added to the environment of this process; an `undefined` value removes the variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Written to the child's standard input, which then ends. Without it the input is empty. */
  readonly stdin?: string | Uint8Array;
}

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface RunningProcess {
  readonly pid: number;
  /** Settles once the process ended and its output is complete. Never rejects. */
  readonly exited: Promise<ProcessExit>;
  /** How it ended, or null while it runs. */
  readonly exit: ProcessExit | null;
  /** What it wrote so far. */
  stdout(): string;
  stderr(): string;
  /** Both, in the order in which they arrived. */
  output(): string;
  /** Tells each piece of output from now on, as it arrives. */
  onOutput(listener: (text: string) => void): void;
  /** Resolves when the output so far matches; rejects when the process ends or the time (ms, 10,000) is over before. */
  waitForOutput(pattern: RegExp, within?: number): Promise<RegExpMatchArray>;
  /** The same for any condition on the output: `probe` runs after each piece of output until it answers something. */
  waitForState<T>(probe: () => T | null, what: string, within?: number): Promise<T>;
  signal(signal: NodeJS.Signals): void;
  /** SIGTERM, then SIGKILL when it has not ended within the deadline (ms, 5,000). Idempotent. */
  stop(deadline?: number): Promise<ProcessExit>;
  /** SIGKILL, at once. Idempotent. */
  kill(): Promise<ProcessExit>;
}

/**
 * Starts a program, without a shell. It is killed when this process ends before it. Rejects when it cannot be started,
 * and names a missing one.
 */
export async function startProcess(
  command: string,
  args: readonly string[],
  options: ProcessOptions = {},
): Promise<RunningProcess> {
  const child = spawn(command, args, {
    stdio: 'pipe',
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  try {
    await once(child, 'spawn');
  } catch (cause) {
    throw new Error(`cannot start ${command} (is it installed? "npm test" installs what the tests need)`, { cause });
  }
  // A child that ends without reading its input closes the pipe: its exit tells, not this.
  child.stdin.on('error', () => {});
  child.stdin.end(options.stdin ?? '');
  return observe(child, [command, ...args].join(' '));
}

function observe(child: ChildProcessWithoutNullStreams, name: string): RunningProcess {
  const written = { stdout: '', stderr: '', output: '' };
  const watchers = new Set<() => void>();
  const listeners: ((text: string) => void)[] = [];
  const notify = () => {
    for (const watcher of [...watchers]) watcher();
  };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      written[stream] += text;
      written.output += text;
      for (const listener of listeners) listener(text);
      notify();
    });
  }

  let exit: ProcessExit | null = null;
  const exited = new Promise<ProcessExit>((resolve) => {
    child.once(
      'exit',
      atEnd(() => child.kill('SIGKILL')),
    );
    child.once('close', (code, signal) => {
      exit = { code, signal };
      resolve(exit);
      notify();
    });
  });

  const waitForState = <T>(probe: () => T | null, what: string, within = 10_000) =>
    new Promise<T>((resolve, reject) => {
      const fail = (why: string) => finish(() => reject(new Error(`${name}: ${why}: ${what}\n${written.output}`)));
      const timer = setTimeout(() => fail(`not within ${within} ms`), within);
      const finish = (settle: () => void) => {
        clearTimeout(timer);
        watchers.delete(check);
        settle();
      };
      const check = () => {
        const answer = probe();
        if (answer !== null) finish(() => resolve(answer));
        else if (exit !== null) fail(`ended (code ${exit.code}, signal ${exit.signal}) before`);
      };
      watchers.add(check);
      check();
    });

  const end = async (signal: NodeJS.Signals) => {
    if (exit === null) child.kill(signal);
    return await exited;
  };

  return {
    pid: child.pid ?? -1,
    exited,
    get exit() {
      return exit;
    },
    stdout: () => written.stdout,
    stderr: () => written.stderr,
    output: () => written.output,
    onOutput: (listener) => void listeners.push(listener),
    waitForState,
    waitForOutput: (pattern, within) =>
      waitForState(() => written.output.match(pattern), `output that matches ${pattern}`, within),
    signal: (signal) => void child.kill(signal),
    async stop(deadline = 5_000) {
      const timer = setTimeout(() => child.kill('SIGKILL'), deadline);
      try {
        return await end('SIGTERM');
      } finally {
        clearTimeout(timer);
      }
    },
    kill: () => end('SIGKILL'),
  };
}
