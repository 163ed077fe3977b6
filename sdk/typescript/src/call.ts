// One open request: a span that is started, and ended whatever happens to the request.

import { type Attributes, type Context, context, isSpanContextValid, type Link, ROOT_CONTEXT, type Span, type SpanContext, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { SeverityNumber } from "@opentelemetry/api-logs";
import { W3CTraceContextPropagator } from "@opentelemetry/core";

import { answerBody, type Body, bodyOf, type Ending, endingOf, isObject, type Json, member, requestBody, spanName, type Target, toolOf } from "./messages.js";
import type { Observer } from "./observer.js";
import { semconv } from "./tables.js";

/** How many lines of progress one call has at most, and how many lines of any kind. */
const PROGRESS_LINES = 100;
const LINES = 10_000;
const LINE_LENGTH = 64 * 1024;
/** The longest text among the attributes with which a late answer is told. */
const SHORT = 256;
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}/;

/** The span that a `traceparent` names. */
export function remote(carrier: unknown): SpanContext | undefined {
  if (!isObject(carrier) || typeof carrier["traceparent"] !== "string" || !TRACEPARENT.test(carrier["traceparent"].trim())) return undefined;
  const getter = { get: (from: Json, key: string) => from[key] as string | undefined, keys: (from: Json) => Object.keys(from) };
  const found = trace.getSpanContext(new W3CTraceContextPropagator().extract(ROOT_CONTEXT, carrier, getter));
  return found && isSpanContextValid(found) ? found : undefined;
}

export interface Beginning {
  kind: SpanKind;
  method: string;
  target: Target;
  attributes: Attributes;
  meta?: unknown;
  headerParent?: SpanContext | undefined;
}

type Part = "REQUEST" | "RESPONSE";

export class Call {
  readonly method: string;
  readonly target: Target;
  readonly context: Context;
  readonly longLived: boolean;
  isOver = false;
  token: string | undefined;
  /** Whether the head of its HTTP answer is awaited, which has the status. */
  awaitsHead = false;
  #early: (() => void) | undefined;
  readonly #observer: Observer;
  readonly #bodies: boolean;
  readonly #span: Span;
  readonly #kind: SpanKind;
  readonly #name: string;
  readonly #at = Date.now();
  readonly #parent: SpanContext | undefined;
  #attributes: Attributes;
  #progress = 0;
  #lines = 0;
  #size = 0;

  constructor(observer: Observer, { kind, method, target, attributes, meta, headerParent }: Beginning) {
    [this.#observer, this.method, this.target, this.#kind] = [observer, method, target, kind];
    this.#bodies = observer.capture.bodiesOf(toolOf(target));
    this.longLived = method === "subscriptions/listen";
    const ambient = context.active();
    const around = trace.getSpanContext(ambient);
    let parent = ambient;
    let links: Link[] = around ? [{ context: around }] : [];
    if (kind === SpanKind.CLIENT) {
      // The server's own request. It is linked to the call that it was made in, and not below it: what is below a request of the
      // same service counts as a step of that.
      parent = ROOT_CONTEXT;
    } else {
      // A context in `_meta` is the parent, and what is current becomes a link, as the conventions for MCP say.
      const sent = remote(meta);
      if (!sent) links = [];
      this.#parent = sent ?? around ?? headerParent;
      if (this.#parent && this.#parent !== around) parent = trace.setSpanContext(ambient, this.#parent);
    }
    const { redactor } = observer.capture;
    this.#name = redactor.text(spanName(method, target));
    this.#attributes = redactor.value(attributes);
    this.#span = observer.telemetry.start(this.#name, kind, this.#attributes, links, parent, this.#at);
    this.context = trace.setSpan(ambient, this.#span);
    if (this.#isRecording) observer.running.add(this);
  }

  get #isRecording(): boolean {
    return this.#span.isRecording();
  }

  get spanId(): string {
    return this.#span.spanContext().spanId;
  }

  get observer(): Observer {
    return this.#observer;
  }

  /** Adds what became known meanwhile. */
  set(attributes: Attributes): void {
    if (!this.#isRecording) return;
    const redacted = this.#observer.capture.redactor.value(attributes);
    Object.assign(this.#attributes, redacted);
    this.#span.setAttributes(redacted);
  }

  holdRequest(message: Json): void {
    if (this.#bodies && this.#isRecording) this.#hold(bodyOf(requestBody(message), this.#observer.capture.bodyCap), "REQUEST");
  }

  /** A body that is no message. */
  holdText(text: string, size: number, part: Part): void {
    if (!this.#bodies || !this.#isRecording || size === 0) return;
    const body = bodyOf(text, this.#observer.capture.bodyCap);
    this.#hold({ text: body.text, size: Math.max(size, body.size) }, part);
  }

  #hold(body: Body, part: Part): void {
    const { courier } = this.#observer.telemetry;
    const [text, size, truncated] = [semconv[`${part}_BODY`], semconv[`${part}_SIZE`], semconv[`${part}_TRUNCATED`]];
    const isCut = Buffer.byteLength(body.text) < body.size;
    const set = () => {
      const attributes = { [text]: this.#observer.capture.redactor.json(body.text), [size]: body.size, [truncated]: isCut };
      Object.assign(this.#attributes, attributes);
      this.#span.setAttributes(attributes);
    };
    if (courier.room(body.text.length) && courier.later(set, body.text.length)) this.#size += body.text.length;
    else this.#span.setAttributes({ [size]: body.size, [truncated]: true });
  }

  /** Writes a line of its console output. */
  log(severity: SeverityNumber, whole: string, attributes: Attributes = {}): void {
    if (!this.#bodies || !this.#isRecording || this.#lines >= LINES) return;
    this.#lines += 1;
    const [at, body, { telemetry, capture: { redactor } }] = [Date.now(), whole.slice(0, LINE_LENGTH), this.#observer];
    telemetry.courier.later(() => telemetry.emit(this.#span.spanContext(), at, severity, redactor.text(body), redactor.value(attributes)), body.length);
  }

  /** The server tells how far it is. */
  progressed(params: unknown): void {
    this.#progress += 1;
    if (this.#progress > PROGRESS_LINES) return;
    const [total, message] = [member(params, "total"), member(params, "message")];
    const body = `progress ${member(params, "progress")}${total === undefined ? "" : ` of ${total}`}${typeof message === "string" ? `: ${message}` : ""}`;
    this.log(SeverityNumber.DEBUG, body);
  }

  /** Ends it with its answer, once the status is known. */
  answered(answer: Json): void {
    if (this.#bodies && this.#isRecording && !this.isOver) this.#hold(bodyOf(answerBody(answer), this.#observer.capture.bodyCap), "RESPONSE");
    this.#endWith(endingOf(this.method, answer), this.awaitsHead);
  }

  /** Ends it without an answer. */
  end(ending: Ending): void {
    this.#endWith(ending, false);
  }

  /** The head of its HTTP answer has come. */
  headed(): void {
    this.awaitsHead = false;
    this.#early?.();
    this.#early = undefined;
  }

  #endWith({ attributes, error }: Ending, waits: boolean): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#observer.running.ended(this);
    if (!this.#isRecording) return;
    const at = Date.now();
    this.set(attributes);
    if (this.#progress > 0) this.set({ [semconv.PROGRESS_COUNT]: this.#progress });
    const { telemetry, capture: { redactor } } = this.#observer;
    const finish = () => {
      if (error !== undefined) this.#span.setStatus({ code: SpanStatusCode.ERROR, ...(error ? { message: redactor.text(error) } : {}) });
      telemetry.end(this.#span, at, this.#size);
    };
    const leave = () => {
      if (telemetry.courier.later(finish)) return;
      // There is no room to redact what was said; the rest of the record is as it should be.
      if (error !== undefined) this.#span.setStatus({ code: SpanStatusCode.ERROR });
      this.#span.end(at);
    };
    if (waits) this.#early = leave;
    else leave();
  }

  #told(attributes: Attributes): void {
    const kind = this.#kind === SpanKind.CLIENT ? 3 : 2;
    const told = { ...attributes, [semconv.SPAN_KIND]: kind, ...(this.#parent ? { [semconv.SPAN_PARENT]: this.#parent.spanId } : {}) };
    this.#observer.telemetry.emit(this.#span.spanContext(), this.#at, SeverityNumber.DEBUG, this.#name, told, semconv.CALL_RUNNING);
  }

  /** Tells that it runs, by a log record with the ids and attributes of its span. */
  announce(): void {
    this.#observer.telemetry.courier.later(() => { if (!this.isOver) this.#told(this.#attributes); }, this.#size);
  }

  /** Tells that an answer came after it had been given up. */
  tellLate(): void {
    const short = Object.entries(this.#attributes).filter(([, value]) => !Array.isArray(value) && !(typeof value === "string" && value.length > SHORT));
    this.#observer.telemetry.courier.later(() => this.#told({ ...Object.fromEntries(short), [semconv.LATE]: true }));
  }

  /** Says that its process lives, and which announced requests ended a while ago. */
  beat(ended: string[]): void {
    const { telemetry } = this.#observer;
    const at = Date.now();
    telemetry.courier.later(() => telemetry.emit(undefined, at, SeverityNumber.DEBUG, "", ended.length > 0 ? { [semconv.ENDED]: ended } : {}, semconv.HEARTBEAT));
  }
}
