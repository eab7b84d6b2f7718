import { connectAsync } from 'mqtt';
import { callJson } from './json-http.ts';
import type { Server, StoreName } from './servers.ts';

const SESSION_EXPIRY = 600;

/** A persistent session of one contestant, at the broker under that URL. */
export interface Session {
  readonly id: string;
  readonly url: string;
  readonly topic: string;
  readonly qos: 1 | 2;
}

/** Who takes in a backlog. */
export interface InboundContestant {
  /** Null: received by MQTT.js and not stored. */
  readonly store: StoreName | null;
  readonly pid: number;
  /** Makes the session, subscribed to the topic, and leaves it. */
  park(session: Session): Promise<unknown>;
  attach(session: Session): Promise<unknown>;
  /** How many messages it has of the session. */
  received(session: Session): Promise<unknown>;
  remove(session: Session): Promise<unknown>;
}

export function bridge({ port, pid }: Server, store: StoreName): InboundContestant {
  const path = ({ id }: Session) => `/v1/connections/${id}`;
  return {
    store,
    pid,
    async park(session) {
      const { url, topic, qos } = session;
      const subscriptions = [{ filter: topic, qos }];
      await callJson(port, 'PUT', path(session), { url, sessionExpiryInterval: SESSION_EXPIRY, subscriptions });
      await callJson(port, 'POST', `${path(session)}/detach`);
    },
    attach: (session) => callJson(port, 'POST', `${path(session)}/attach`),
    async received(session) {
      const view = (await callJson(port, 'GET', path(session))) as { queue: { depth: number } };
      return view.queue.depth;
    },
    remove: (session) => callJson(port, 'DELETE', path(session)),
  };
}

export function receiver({ port, pid }: Server): InboundContestant {
  return {
    store: null,
    pid,
    async park({ id, url, topic, qos }) {
      const client = await connectAsync(url, {
        clientId: id,
        protocolVersion: 5,
        clean: false,
        properties: { sessionExpiryInterval: SESSION_EXPIRY },
        reconnectPeriod: 0,
      });
      await client.subscribeAsync(topic, { qos });
      await client.endAsync();
    },
    attach: ({ id, url }) => callJson(port, 'POST', `/${id}/attach`, { url }),
    async received({ id }) {
      const view = (await callJson(port, 'GET', `/${id}`)) as { received: number };
      return view.received;
    },
    remove: ({ id }) => callJson(port, 'DELETE', `/${id}`),
  };
}
