import { Module } from 'node:module';

/** What a function that is registered with Azure's worker says of itself. */
export interface FunctionMetadata {
  readonly name: string;
  readonly bindings: Readonly<Record<string, { readonly type: string; readonly direction: string }>>;
}

type Handler = (...args: unknown[]) => unknown;

/** One invocation, as `@azure/functions` carries it out for the worker. */
export interface InvocationModel {
  getArguments(): Promise<{ context: object; inputs: unknown[] }>;
  invokeFunction(context: object, inputs: unknown[], handler: Handler): Promise<unknown>;
  getResponse(context: object, result: unknown): Promise<object>;
}

export interface ProgrammingModel {
  getInvocationModel(context: object): InvocationModel;
  getCapabilities(capabilities: object): Promise<{ readonly HttpUri?: string }>;
}

/** What was registered while the functions were loaded. */
export interface Registered {
  readonly model: ProgrammingModel;
  readonly functions: ReadonlyMap<string, { readonly metadata: FunctionMetadata; readonly handler: Handler }>;
}

/**
 * Runs `load`, which loads an app of Azure Functions, and answers what it has registered. As in Azure's worker,
 * `@azure/functions-core` is no package, but what `require` gives for that name.
 */
export async function loadApp(load: () => Promise<unknown>): Promise<Registered> {
  const functions = new Map<string, { metadata: FunctionMetadata; handler: Handler }>();
  let model: ProgrammingModel | null = null;
  const core = {
    version: '4.0.0',
    hostVersion: '4.1000.0',
    registerFunction: (metadata: FunctionMetadata, handler: Handler) =>
      functions.set(metadata.name, { metadata, handler }),
    setProgrammingModel: (registered: ProgrammingModel) => {
      model = registered;
    },
    log: () => {},
  };
  const original = Module.prototype.require;
  Module.prototype.require = function require(this: Module, id: string) {
    return id === '@azure/functions-core' ? core : original.call(this, id);
  } as typeof original;
  try {
    await load();
  } finally {
    Module.prototype.require = original;
  }
  if (model === null) throw new Error('the app has registered nothing with @azure/functions');
  return { model, functions };
}
