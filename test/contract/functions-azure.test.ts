import { describeAdapter } from '../functions/adapter-suite.ts';
import { azure } from '../functions/azure-platform.ts';

describeAdapter(azure);
