import { PROBLEMS, type ProblemName } from './catalogue.ts';

/** One fault in a request, by JSON pointer into the body or `?name` for a parameter. */
export interface Fault {
  pointer: string;
  detail: string;
  /** The clause of the MQTT specification that says so, e.g. `MQTT-3.1.2-24`. */
  reference?: string;
}

export interface ProblemDetails {
  detail?: string;
  /** MQTT's reason code and reason string, when a broker's answer is the cause. */
  reasonCode?: number;
  reason?: string;
  /** The CONNACK that refused, as the API shows it. */
  connack?: object;
  /** What the broker's DISCONNECT said beside its reason. */
  serverReference?: string;
  userProperties?: Record<string, string[]>;
  errors?: Fault[];
  /** Seconds for `Retry-After`. */
  retryAfter?: number;
  cause?: unknown;
}

export const PROBLEM_JSON = 'application/problem+json';

export interface ProblemDocument extends ProblemDetails {
  /** `/problems/<name>` */
  type: string;
  title?: unknown;
  status?: unknown;
}

/** An error that the API answers as RFC 9457 problem+json. Nothing secret may be put into one. */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly type: ProblemName;
  readonly details: ProblemDetails;

  constructor(type: ProblemName, details: ProblemDetails = {}) {
    super(details.detail ?? PROBLEMS[type].title, { cause: details.cause });
    this.type = type;
    this.details = details;
  }

  get status(): number {
    return PROBLEMS[this.type].status;
  }

  /** Reads a problem document again, as `toJSON` made it. */
  static from(document: ProblemDocument): Problem {
    const { type, title: _title, status: _status, ...details } = document;
    const name = type.slice(type.lastIndexOf('/') + 1);
    return new Problem(isProblemName(name) ? name : 'internal', details);
  }

  /** The members of the problem document. */
  toJSON(): ProblemDocument {
    const { retryAfter: _header, cause: _ours, ...shown } = this.details;
    return {
      type: `/problems/${this.type}`,
      title: PROBLEMS[this.type].title,
      status: this.status,
      ...shown,
    };
  }
}

/** A newer release may know more of them. */
function isProblemName(name: string): name is ProblemName {
  return Object.hasOwn(PROBLEMS, name);
}
