// What all drivers share: calls come in on stdin, answers and events go out on stdout, a JSON object a line each.
//
//   {id, call, on?, args?, cut?, hold?}   do it; `on` is the id of the call that has made what it is done to
//   {id, go_on: true}                     let a call go on that is held after its event number `hold`
//   {id, abort: true}                     abort a call
//   -> {id, event}                        something came; after event number `cut` the call reads no more
//   -> {id, result}                       it is done
//   -> {id, error}                        it has raised
//
// The process ends with its stdin. What clients write to their console goes to stderr.
import { Console } from "node:console";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

globalThis.console = new Console(process.stderr);

/** One call: what it reports, and how far its test lets it go. */
class Call {
  #abort = new AbortController();
  #events = 0;
  #cut;
  #hold;
  #released;
  #release;

  constructor({ id, cut, hold }) {
    this.id = id;
    this.#cut = cut;
    this.#hold = hold;
    this.#released = new Promise((resolve) => (this.#release = resolve));
  }

  get signal() {
    return this.#abort.signal;
  }

  abort() {
    this.#abort.abort();
    this.#release();
  }

  goOn() {
    this.#release();
  }

  /** Reports an event; settles when that is written. */
  report(event) {
    return say({ id: this.id, event });
  }

  /** Counts an event that was read; false says that the call is to read no more. */
  async passed() {
    this.#events += 1;
    if (this.#events === this.#hold) await this.#released;
    return this.#events !== this.#cut;
  }
}

function say(line) {
  return new Promise((written) => process.stdout.write(JSON.stringify(line) + "\n", written));
}

/** What a test is told of an error: what the client itself says of it. */
export function told(error) {
  const { name, message, status, code, type, param, error: body } = error;
  return { class: error.constructor.name, name, message, status, code, type, param, body };
}

/** The versions that are installed. */
function hello() {
  const read = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url)));
  const names = Object.keys(read("package.json").dependencies);
  const versions = names.map((name) => [name, read(`node_modules/${name}/package.json`).version]);
  return { node: process.version, ...Object.fromEntries(versions) };
}

/**
 * Does what stdin says. `making` are the calls that make something: (call, ...args) -> it. What is not among them is
 * done to what such a call has made: by `doing` (call, it, name, ...args).
 */
export function serve(making, doing) {
  const made = new Map();
  const open = new Map();
  const perform = async (call, { call: name, on, args = [] }) => {
    if (name === "hello") return hello();
    if (on !== undefined) return doing(call, made.get(on), name, ...args);
    made.set(call.id, making[name](call, ...args));
    call.report({ made: true }); // and then the events of what it has made, without an end
    return new Promise(() => {});
  };
  const run = async (line) => {
    const call = new Call(line);
    open.set(line.id, call);
    try {
      say({ id: line.id, result: (await perform(call, line)) ?? null });
    } catch (error) {
      say({ id: line.id, error: told(error) });
    } finally {
      open.delete(line.id);
    }
  };
  createInterface({ input: process.stdin })
    .on("line", (text) => {
      const line = JSON.parse(text);
      if (line.abort) open.get(line.id)?.abort();
      else if (line.go_on) open.get(line.id)?.goOn();
      else run(line);
    })
    .on("close", () => process.stdout.write("", () => process.exit(0)));
}
