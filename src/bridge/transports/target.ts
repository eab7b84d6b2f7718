import type { TlsMaterial } from '../dependencies.ts';
import type { BrokerAddress } from './address.ts';

/** Where and how to open the byte stream under an MQTT connection. */
export interface TransportTarget {
  address: BrokerAddress;
  /** A caller named the address: link-local and metadata addresses are refused. */
  fromCaller: boolean;
  tls: TlsMaterial;
  webSocket: { path: string; headers: Readonly<Record<string, string>>; protocol: string };
}
