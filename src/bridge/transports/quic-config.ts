import { createPrivateKey } from 'node:crypto';
import { getCACertificates } from 'node:tls';
import type { TlsMaterial } from '../dependencies.ts';
import { coded } from './quic-errors.ts';
import type { Quiche, QuicheConfig } from './quic-package.ts';

/** Without an ALPN protocol in common there is no QUIC connection. [RFC 9001 §8.1] */
const DEFAULT_ALPN = ['mqtt'];

/** What every path has to carry; quiche does not look for more. [RFC 9000 §14] */
export const MAX_DATAGRAM_BYTES = 1_200;
const MAX_UDP_PAYLOAD_BYTES = 65_527;

/** Bytes that may be on their way before they are taken. */
const WINDOW_BYTES = 1024 * 1024;

/** A broker that is silent for longer is gone, whatever MQTT's Keep Alive is. */
export const MAX_IDLE_MS = 60_000;

/** What a connection announces, with TLS from the material that `mqtts` takes. Throws on PEM that cannot be read. */
export function quicConfig({ Config }: Quiche, tls: TlsMaterial): QuicheConfig {
  const ca = Buffer.from(tls.ca ?? getCACertificates('default').join('\n'));
  const key = tls.key === undefined ? undefined : [plainKey(tls.key, tls.passphrase)];
  const cert = tls.cert === undefined ? undefined : [Buffer.from(tls.cert)];
  try {
    const config = Config.withBoringSslCtx(tls.rejectUnauthorized !== false, false, ca, key, cert);
    config.setApplicationProtos(tls.alpn ?? DEFAULT_ALPN);
    setTransportParameters(config);
    return config;
  } catch (error) {
    throw coded('ERR_TLS_INVALID_CONTEXT', `The TLS settings cannot be used: ${(error as Error).message}`);
  }
}

/** The package asks for no passphrase. */
function plainKey(key: string, passphrase: string | undefined): Buffer {
  const options = passphrase === undefined ? { key } : { key, passphrase };
  return Buffer.from(createPrivateKey(options).export({ type: 'pkcs8', format: 'pem' }));
}

function setTransportParameters(config: QuicheConfig): void {
  config.setMaxIdleTimeout(MAX_IDLE_MS);
  config.setMaxSendUdpPayloadSize(MAX_DATAGRAM_BYTES);
  config.setMaxRecvUdpPayloadSize(MAX_UDP_PAYLOAD_BYTES);
  config.setInitialMaxData(WINDOW_BYTES);
  config.setInitialMaxStreamDataBidiLocal(WINDOW_BYTES);
  config.setDisableActiveMigration(true);
}
