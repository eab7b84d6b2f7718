import { describeAdapter } from '../functions/adapter-suite.ts';
import { googleCloud } from '../functions/google-cloud-platform.ts';

describeAdapter(googleCloud);
