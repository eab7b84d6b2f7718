import { Stopwatch } from '../stopwatch.ts';

/** Part of the Keep Alive after which PINGREQ is sent: early enough that a late timer breaks no rule. [MQTT-3.1.2-20] */
const PING_AFTER = 0.75;
/** Keep Alives without a packet after which either side counts as gone. [MQTT-3.1.2-22] */
const SILENT_AFTER = 1.5;

export interface KeepAliveOptions {
  /** 0 is off. */
  seconds: number;
  /** Sends PINGREQ. */
  ping: () => void;
  /** Whether arriving bytes are read: what the bridge does not look at is no silence of the broker's. */
  isReading: () => boolean;
  onSilence: () => void;
}

/**
 * Finds out that a network connection is half open. PINGREQ goes out whatever else does, so that a broker that lives is
 * heard within the time; elapsed time counts a suspended machine or a frozen process in, and after such a gap the
 * connection is given up before a packet is sent into it. MQTT.js's own keep-alive counts the ticks of a timer.
 */
export class KeepAlive {
  readonly #options: KeepAliveOptions;
  readonly #heard = new Stopwatch();
  readonly #pinged = new Stopwatch();
  #silent = false;
  #timer: NodeJS.Timeout | undefined;
  #turn: NodeJS.Immediate | undefined;

  constructor(options: KeepAliveOptions) {
    this.#options = options;
    if (options.seconds > 0) this.#schedule();
  }

  /** Bytes came from the broker; too late ones are from before the gap. */
  received(): void {
    if (!this.isSilent) this.#heard.restart();
  }

  /** Milliseconds since bytes came from the broker. */
  get silentForMs(): number {
    return this.#heard.elapsedMs;
  }

  /** Whether the broker counts as gone, from now on for ever. */
  get isSilent(): boolean {
    const { seconds } = this.#options;
    this.#silent ||= seconds > 0 && this.#heard.elapsedMs > this.#silentAfterMs;
    return this.#silent;
  }

  stop(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#turn);
  }

  get #silentAfterMs(): number {
    return this.#options.seconds * 1000 * SILENT_AFTER;
  }

  #schedule(): void {
    const pingIn = this.#options.seconds * 1000 * PING_AFTER - this.#pinged.elapsedMs;
    const silentIn = this.#silentAfterMs - this.#heard.elapsedMs;
    // Timers are in whole milliseconds, and a little early sometimes.
    const wait = Math.max(1, Math.ceil(Math.min(pingIn, silentIn)) + 1);
    // Timers come before sockets are read: after a freeze, the broker's end of the connection is to be seen first.
    this.#timer = setTimeout(() => {
      this.#turn = setImmediate(() => this.#tick());
    }, wait);
  }

  #tick(): void {
    const { seconds, ping, isReading, onSilence } = this.#options;
    if (this.isSilent) {
      onSilence();
      return;
    }
    if (!isReading()) this.#heard.restart();
    if (this.#pinged.elapsedMs >= seconds * 1000 * PING_AFTER) {
      this.#pinged.restart();
      ping();
    }
    this.#schedule();
  }
}
