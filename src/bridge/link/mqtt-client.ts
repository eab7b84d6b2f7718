import type { Duplex } from 'node:stream';
import { type IClientOptions, MqttClient } from 'mqtt';
import type { IAuthPacket, IConnackPacket, Packet } from 'mqtt-packet';
import type { ProtocolLevel } from '../../mqtt/protocol-version.ts';
import type { TransportTarget } from '../transports/target.ts';
import type { Authentication, AuthenticationOptions } from './authentication.ts';
import { describeClientError, describeDisconnect } from './broker-ends.ts';
import { connackFault } from './connack.ts';
import type { LinkEnd } from './link-end.ts';
import { packetFault } from './packet-faults.ts';

/** Has MQTT.js loaded, where that waits for its first use: as in a function's bundle. */
export function loadMqttJs(): unknown {
  return MqttClient;
}

/** What CONNECT says, in the wire's own terms. */
export interface ConnectOptions {
  target: TransportTarget;
  /** 5, 4 (3.1.1) or 3 (3.1). */
  protocolLevel: ProtocolLevel;
  protocolName: 'MQTT' | 'MQIsdp';
  clientId: string;
  /** Clean Start, or Clean Session on 3.x. */
  clean: boolean;
  /** Seconds; 0 is off. */
  keepAlive: number;
  username?: string;
  password?: Buffer;
  will?: NonNullable<IClientOptions['will']>;
  properties?: NonNullable<IClientOptions['properties']>;
  authentication?: AuthenticationOptions;
  connectTimeoutMs: number;
  /** Bytes of a payload that are kept of what arrives. */
  maxPayload: number;
}

export interface ClientHandlers {
  /** A CONNACK accepted the connection. Packets may follow in the same turn (MJ#1124). */
  onAccepted(connack: IConnackPacket): void;
  /** Why the connection must end, as far as the client sees it. */
  onEnd(end: LinkEnd): void;
  /** The stream is closed. */
  onClose(): void;
}

/** The library's own time-out is kept behind ours. */
const LIBRARY_GRACE_MS = 1_000;
const CONTINUE_AUTHENTICATION = 0x18;

/**
 * Lets MQTT.js open an MQTT connection over a stream: CONNECT, AUTH, CONNACK, and later the broker's DISCONNECT. Its
 * traps are handled here and nowhere else. It never reconnects, resubscribes, pings or queues: that is the bridge's.
 */
export function startClient(
  stream: Duplex,
  options: ConnectOptions,
  authentication: Authentication | null,
  handlers: ClientHandlers,
): void {
  const client = new MqttClient(() => stream, clientOptions(options, authentication?.initialData));
  let connack: IConnackPacket | undefined;
  // Handlers are attached in the same turn as the connection is begun: packets may follow CONNACK at once (MJ#1124).
  client.on('packetreceive', (packet: Packet) => {
    const fault = packetFault(packet);
    if (fault !== null) {
      // The library goes on with the packet, whose properties may be of any type: it is left with none of them.
      handlers.onEnd({ kind: 'protocol', detail: `The broker sent ${fault}` });
      if ('properties' in packet) delete packet.properties;
    }
    if (packet.cmd === 'disconnect') handlers.onEnd(describeDisconnect(packet));
    if (packet.cmd !== 'connack') return;
    connack = packet;
    // The library's keep-alive counts the ticks of a timer: the bridge has its own. Zero here, and it starts none.
    client.options.keepalive = 0;
  });
  client.handleAuth = (packet, answer) => {
    const fault = connack === undefined ? authFault(packet) : 'AUTH after CONNACK, which only a client may begin';
    if (fault !== null || authentication === null) {
      answer(new Error(`The broker sent ${fault}`));
      return;
    }
    authentication.proceed(packet.properties?.authenticationData ?? Buffer.alloc(0)).then(
      (authenticationData) => {
        if (!stream.destroyed) answer(undefined, toAuth(packet, authenticationData));
      },
      (error: Error) => {
        handlers.onEnd({ kind: 'authentication', detail: error.message });
        answer(error);
      },
    );
  };
  client.on('error', (error) => handlers.onEnd(describeClientError(error, connack)));
  client.on('connect', (packet) => {
    if (stream.destroyed) return;
    const end = connackFault(packet, options) ?? incomplete(authentication, packet);
    if (end === null) handlers.onAccepted(packet);
    else handlers.onEnd(end);
  });
  client.on('close', () => handlers.onClose());
}

/** The broker's last word in an exchange comes with CONNACK. [MQTT 5.0 §4.12] */
function incomplete(authentication: Authentication | null, { properties }: IConnackPacket): LinkEnd | null {
  try {
    authentication?.complete(properties?.authenticationData);
    return null;
  } catch (error) {
    return { kind: 'authentication', detail: (error as Error).message };
  }
}

function authFault({ reasonCode }: IAuthPacket): string | null {
  return reasonCode === CONTINUE_AUTHENTICATION ? null : `AUTH with reason code ${reasonCode} before CONNACK`;
}

function toAuth({ properties }: IAuthPacket, authenticationData: Buffer): IAuthPacket {
  const { authenticationMethod } = properties ?? {};
  return {
    cmd: 'auth',
    reasonCode: CONTINUE_AUTHENTICATION,
    properties: { ...(authenticationMethod === undefined ? {} : { authenticationMethod }), authenticationData },
  };
}

function clientOptions(options: ConnectOptions, authenticationData: Buffer | undefined): IClientOptions {
  const { username, password, will, authentication } = options;
  const properties =
    authentication === undefined
      ? options.properties
      : {
          ...options.properties,
          authenticationMethod: authentication.method,
          ...(authenticationData === undefined ? {} : { authenticationData }),
        };
  return {
    protocolVersion: options.protocolLevel,
    protocolId: options.protocolName,
    clientId: options.clientId,
    clean: options.clean,
    keepalive: options.keepAlive,
    connectTimeout: options.connectTimeoutMs + LIBRARY_GRACE_MS,
    ...(username === undefined && password === undefined ? {} : { username: username ?? '' }),
    // The library passes a Buffer through although its type says string.
    ...(password === undefined ? {} : { password: password as unknown as string }),
    ...(will === undefined ? {} : { will }),
    ...(properties === undefined ? {} : { properties: properties as NonNullable<IClientOptions['properties']> }),
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
  };
}
