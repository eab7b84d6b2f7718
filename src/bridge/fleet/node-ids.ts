import { randomBytes } from 'node:crypto';

const FUNCTION = 'function-';

/** Of one process of a function: many run at once, whatever NODE_ID says. */
export function functionNodeId(): string {
  return `${FUNCTION}${randomBytes(9).toString('base64url')}`;
}

export function isFunction(nodeId: string): boolean {
  return nodeId.startsWith(FUNCTION);
}
