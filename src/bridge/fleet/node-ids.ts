import { randomBytes } from 'node:crypto';

const FUNCTION = 'function-';

/** Of an instance to which the operator has given none. */
export function randomNodeId(): string {
  return `node-${randomBytes(6).toString('hex')}`;
}

/** Of one process of a function: many run at once, whatever NODE_ID says. */
export function functionNodeId(): string {
  return `${FUNCTION}${randomBytes(9).toString('base64url')}`;
}

export function isFunction(nodeId: string): boolean {
  return nodeId.startsWith(FUNCTION);
}
