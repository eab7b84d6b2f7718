/** What CONNECT says of enhanced authentication. [MQTT 5.0 §4.12] */
export interface AuthenticationOptions {
  method: string;
  /** For a method that the bridge does not know: Authentication Data of CONNECT. */
  data?: Buffer;
  /** For a method that it knows. */
  username?: string;
  password?: Uint8Array;
}

/** The client's side of one exchange. What it rejects or throws with is a sentence for the caller. */
export interface Authentication {
  /** Authentication Data of CONNECT. */
  readonly initialData: Buffer | undefined;
  /** Answers the data of an AUTH that says to go on. */
  proceed(data: Buffer): Promise<Buffer>;
  /** Throws unless the data of CONNACK completes the exchange. */
  complete(data: Buffer | undefined): void;
}
