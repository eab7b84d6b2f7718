/** Loaded before a bridge, with `--expose-gc --import`: at SIGUSR2 it collects the garbage and writes what is left. */
process.on('SIGUSR2', () => {
  globalThis.gc?.();
  process.stderr.write(`memory ${JSON.stringify(process.memoryUsage())}\n`);
});
