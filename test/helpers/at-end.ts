/** What is to be done when this process ends: one set, because a process ends once. The newest is done first. */
const duties = new Set<() => void>();

function fulfil(): void {
  for (const duty of [...duties].reverse()) duty();
  duties.clear();
}

process.once('exit', fulfil);
// Vitest ends its workers with SIGTERM, and a terminal with SIGINT: both would skip "exit".
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    fulfil();
    process.kill(process.pid, signal);
  });
}

/** Has it done when this process ends, however short of SIGKILL; synchronous. Answers how to call it off. */
export function atEnd(duty: () => void): () => void {
  duties.add(duty);
  return () => void duties.delete(duty);
}
