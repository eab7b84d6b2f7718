import { readFileSync } from 'node:fs';

/** USER_HZ: what Linux counts in, whatever the kernel's own clock; proc(5). */
const TICKS_PER_SECOND = 100;
/** Fields of /proc/<pid>/stat, counted from the one after the command name. */
const UTIME = 11;
const STIME = 12;

/** Seconds of CPU, user and system, that a process has used in all its threads. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The command name is in parentheses and may hold spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[UTIME]) + Number(fields[STIME])) / TICKS_PER_SECOND;
}
