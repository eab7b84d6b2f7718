/** `id` and `clientId`: each defaults to the other. */
import { clientIdCautions } from '../../mqtt/client-id.ts';
import { PORTABLE_CLIENT_ID_BYTES } from '../../mqtt/limits.ts';
import { checkString } from '../../mqtt/strings.ts';
import { isReservedId, MAX_ID_BYTES, RESERVED_ID_PREFIX } from '../common.ts';
import type { Report } from '../report.ts';
import {
  type ConnectionPart,
  type ConnectionRule,
  effectiveClientId,
  PERSISTENCE,
  persists,
  versionOf,
} from './rule.ts';

const IDENTITY = ['/id', '/clientId'];

export const identityRules: ConnectionRule = (part, _context, report) => {
  checkId(part, report);
  const clientId = effectiveClientId(part);
  if (clientId === '') checkAssignment(part, report);
  else checkClientId(part, clientId, report);
};

function checkId(part: ConnectionPart, report: Report): void {
  if (part.id === '') report.fault({ pointer: '/id', detail: 'The id is empty: it names the Connection in paths.' });
  // It does not go on the wire: no warnings about it.
  if (part.id !== undefined && part.clientId !== undefined) report.breach('/id', 'The id', checkString(part.id));
  checkReserved(part, report);
  const bytes = Buffer.byteLength(part.id ?? part.clientId ?? '');
  if (bytes <= MAX_ID_BYTES) return;
  const subject = part.id === undefined ? 'The ClientID, which is the id where none is given,' : 'The id';
  report.fault(
    { pointer: '/id', detail: `${subject} has ${bytes} bytes, and an id in a path has at most ${MAX_ID_BYTES}.` },
    IDENTITY,
  );
}

function checkReserved(part: ConnectionPart, report: Report): void {
  if (!isReservedId(part.id ?? part.clientId ?? '')) return;
  const [pointer, subject] =
    part.id === undefined ? ['/clientId', 'The ClientID, which is the id where none is given,'] : ['/id', 'The id'];
  const detail = `${subject} begins with "${RESERVED_ID_PREFIX}": such ids are those of the bridge's own Connections.`;
  report.fault({ pointer, detail }, IDENTITY);
}

function checkClientId(part: ConnectionPart, clientId: string, report: Report): void {
  const pointer = part.clientId === undefined ? '/id' : '/clientId';
  report.string(pointer, 'The ClientID', clientId);
  const bytes = Buffer.byteLength(clientId);
  if (versionOf(part) === '3.1' && bytes > PORTABLE_CLIENT_ID_BYTES) {
    report.fault(
      {
        pointer,
        detail: `The ClientID has ${bytes} bytes, and MQTT 3.1 allows at most ${PORTABLE_CLIENT_ID_BYTES}.`,
        reference: 'MQTT 3.1 §3.1',
      },
      ['/protocolVersion', ...IDENTITY],
    );
  }
  for (const caution of clientIdCautions(clientId)) {
    report.warn(
      { code: 'client-id-portability', detail: `The ClientID ${caution} [MQTT-3.1.3-5].`, pointer },
      IDENTITY,
    );
  }
}

function checkAssignment(part: ConnectionPart, report: Report): void {
  if (!persists(part)) return;
  const basis = [...IDENTITY, ...PERSISTENCE];
  if (versionOf(part) === '5.0') {
    report.warn(
      {
        code: 'assigned-client-id',
        detail: 'The ClientID is assigned, and the session persists: keep the ClientID, or the session is orphaned.',
        pointer: '/clientId',
      },
      basis,
    );
    return;
  }
  report.fault(
    {
      pointer: '/clientId',
      detail:
        'An empty ClientID needs Clean Session: nobody could come back to the session that `cleanSession` false keeps.',
      reference: 'MQTT 3.1.1 [MQTT-3.1.3-7]',
    },
    basis,
  );
}
