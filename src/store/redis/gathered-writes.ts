import type { Socket } from 'node:net';
import type { Redis } from 'ioredis';

/**
 * Has the commands of one turn of the event loop leave together, on each connection of this client to come: one system
 * call and one packet, where each command would cost its own. None waits for another turn.
 */
export function gatherWrites(client: Redis): void {
  client.on('connect', () => gather(client.stream));
}

function gather(socket: Socket): void {
  const write = socket.write.bind(socket) as Socket['write'];
  let gathering = false;
  const gatheringWrite = (...args: Parameters<typeof write>) => {
    if (!gathering) {
      gathering = true;
      socket.cork();
      setImmediate(() => {
        gathering = false;
        socket.uncork();
      });
    }
    return write(...args);
  };
  socket.write = gatheringWrite as Socket['write'];
}
