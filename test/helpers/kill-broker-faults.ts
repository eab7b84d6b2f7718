/**
 * How often Mosquitto sent a client PUBLISH with DUP although it had sent PUBREL for it before, by its own log (all its
 * lives, one after the other). Mosquitto 2.0.11 does so when SIGTERM ends it between PUBREL and PUBCOMP: to a client this
 * is a new message [MQTT-4.3.3-12], and so there is one more of it.
 */
export function publishedAfterRelease(log: string, clientId: string): number {
  const released = new Set<string>();
  let count = 0;
  for (const line of log.split('\n')) {
    const publish = line.match(/^Sending PUBLISH to (\S+) \(d(\d), q2, r\d, m(\d+),/);
    const release = line.match(/^Sending PUBREL to (\S+) \(m(\d+)\)/);
    if (publish?.[1] === clientId) {
      if (publish[2] === '1' && released.has(publish[3] ?? '')) count += 1;
      released.delete(publish[3] ?? '');
    } else if (release?.[1] === clientId) released.add(release[2] ?? '');
  }
  return count;
}
