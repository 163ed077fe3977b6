// Work that belongs to no call, though a call brings it about: sending, and what is said on standard error.

import { AsyncLocalStorage } from "node:async_hooks";

import { context, ROOT_CONTEXT } from "@opentelemetry/api";
import { suppressTracing } from "@opentelemetry/core";

const snapshot = AsyncLocalStorage.snapshot();

/**
 * Does it outside of any call, and where no instrumentation looks: timers, promises and connections that it begins are in no span of the
 * application.
 */
export const outside = <T>(act: () => T): T => snapshot(() => context.with(suppressTracing(ROOT_CONTEXT), act));
