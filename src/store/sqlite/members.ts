import type { Member, Members } from '../../bridge/ports.ts';

interface Announcement {
  readonly member: Member;
  /** Milliseconds since the epoch. */
  readonly livesUntil: number;
}

/** The instances of this process: the file has no others. */
export class MemoryMembers implements Members {
  readonly #now: () => number;
  readonly #announcements = new Map<string, Announcement>();

  constructor(now: () => number) {
    this.#now = now;
  }

  async announce(member: Member, ttlMs: number): Promise<Member[]> {
    this.#announcements.set(member.nodeId, { member, livesUntil: this.#now() + ttlMs });
    return this.#living();
  }

  async list(): Promise<Member[]> {
    return this.#living();
  }

  async leave({ nodeId, process }: Pick<Member, 'nodeId' | 'process'>): Promise<void> {
    if (this.#announcements.get(nodeId)?.member.process === process) this.#announcements.delete(nodeId);
  }

  async time(): Promise<number> {
    return this.#now();
  }

  #living(): Member[] {
    const time = this.#now();
    for (const [nodeId, { livesUntil }] of this.#announcements) {
      if (livesUntil <= time) this.#announcements.delete(nodeId);
    }
    return [...this.#announcements.values()].map(({ member }) => member);
  }
}
