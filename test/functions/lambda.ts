import { join } from 'node:path';
import { bundleFunction } from '../../scripts/bundle-function.ts';
import type { Program } from '../helpers/bridge-process.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';

const bundle = temporaryDirectory('aws');

/** A sandbox of Lambda with the AWS bundle; `bundleForLambda` makes that first. */
export const LAMBDA: Program = [join(import.meta.dirname, 'lambda-sandbox.ts'), bundle];

export async function bundleForLambda(): Promise<void> {
  await bundleFunction('src/functions/aws.ts', bundle);
}
