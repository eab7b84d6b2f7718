/** Milliseconds: what host.json says of every function. */
export const FUNCTION_TIMEOUT = 300_000;
/** Milliseconds after which Azure's load balancer gives a request up, whatever host.json says. */
export const HTTP_TIMEOUT = 230_000;
