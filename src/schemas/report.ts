import type { Fault } from '../errors/problem.ts';
import { type Breach, checkString, stringCaution } from '../mqtt/strings.ts';
import type { Warning } from './connection-view.ts';
import { invalid, pointerTo } from './faults.ts';

/**
 * Gathers what is wrong with a document, and what is only worth knowing. A rule names the members that it judged by
 * (its basis): where one of them is itself faulty the rule has nothing to say, or it would blame what may be right.
 */
export class Report {
  readonly faults: Fault[];
  readonly warnings: Warning[] = [];
  readonly #faulty: readonly string[];

  /** Begins with the structural faults. */
  constructor(structural: readonly Fault[] = []) {
    this.faults = [...structural];
    this.#faulty = structural.map(({ pointer }) => pointer);
  }

  /** Adds a fault, unless it rests on a member that is faulty. */
  fault(fault: Fault, basis: readonly string[] = []): void {
    if (this.#isSound(basis)) this.faults.push(fault);
  }

  /** Adds a warning, unless it rests on a member that is faulty. */
  warn(warning: Warning, basis: readonly string[] = []): void {
    if (this.#isSound(basis)) this.warnings.push(warning);
  }

  /** Adds what MQTT forbids, if anything; `subject` begins the sentence. */
  breach(pointer: string, subject: string, breach: Breach | null): void {
    if (breach === null) return;
    this.faults.push({ pointer, detail: `${subject} ${breach.predicate}.`, reference: breach.clause });
  }

  /** Judges a string that goes on the wire; absent is fine. */
  string(pointer: string, subject: string, text: string | undefined): void {
    if (text === undefined) return;
    const breach = checkString(text);
    if (breach === null) this.caution(pointer, subject, text);
    else this.breach(pointer, subject, breach);
  }

  /** Warns of characters that a string on the wire should not have. [MQTT 5.0 §1.5.4] */
  caution(pointer: string, subject: string, text: string): void {
    const caution = stringCaution(text);
    if (caution !== null) this.warnings.push({ code: 'unusual-characters', detail: `${subject} ${caution}.`, pointer });
  }

  /** Judges the names and values of User Properties; absent is fine. [MQTT 5.0 §1.5.7] */
  userProperties(pointer: string, properties: UserPropertiesPart | undefined): void {
    for (const [name, values] of Object.entries(properties ?? {})) {
      const at = pointer + pointerTo(name);
      this.string(at, 'The name of this User Property', name);
      if (typeof values === 'string') this.string(at, 'The value of this User Property', values);
      else
        for (const [index, value] of (values ?? []).entries())
          this.string(`${at}/${index}`, 'The value of this User Property', value);
    }
  }

  /** Throws `invalid-request` with every fault, if there is one. */
  throwIfFaulty(): void {
    if (this.faults.length > 0) throw invalid(this.faults);
  }

  #isSound(basis: readonly string[]): boolean {
    return !this.#faulty.some((faulty) => basis.some((member) => touches(faulty, member)));
  }
}

export type UserPropertiesPart = Readonly<Record<string, string | (string | undefined)[] | undefined>>;

/** Whether one of two pointers is the other, or lies within it. */
function touches(one: string, other: string): boolean {
  return one === other || one.startsWith(`${other}/`) || other.startsWith(`${one}/`);
}
