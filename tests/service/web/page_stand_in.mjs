// What a page's script needs of a browser, and no more: a tree of elements, a place to keep a word, a clock.
// Arguments: the server's address, the script's file, a token to type into the form, how many looks to take.
import { pathToFileURL } from "node:url";

const [origin, script, token, looks] = process.argv.slice(2);
const later = globalThis.setTimeout, asked = globalThis.fetch;
const told = { requests: [], pauses: [], notices: [] };

class Element {
  constructor(name) {
    Object.assign(this, { name, children: [], style: {}, attributes: {}, listeners: {}, hidden: false, value: "" });
  }
  append(...children) { this.children.push(...children); }
  replaceChildren(...children) { this.children = children; }
  setAttribute(name, value) { this.attributes[name] = String(value); }
  addEventListener(event, listener) { this.listeners[event] = listener; }
  seen() {
    const { name, className, textContent, src, href, style, attributes } = this;
    return { name, className, textContent, src, href, style, attributes, children: this.children.map((it) => it.seen()) };
  }
}

const page = Object.fromEntries(["notice", "key", "token", "counts", "jobs"].map((id) => [id, new Element(id)]));
page.key.hidden = true;
const kept = new Map();
Object.assign(globalThis, {
  location: new URL(`${origin}/video-monitor`),
  document: { createElement: (name) => new Element(name), querySelector: (selector) => page[selector.slice(1)] },
  sessionStorage: {
    getItem: (name) => kept.get(name) ?? null,
    setItem: (name, value) => kept.set(name, value),
    removeItem: (name) => kept.delete(name),
  },
  fetch: async (path, how) => {
    const answer = await asked(origin + path, how);
    told.requests.push({ path, headers: how.headers, status: answer.status });
    return answer;
  },
  setTimeout: (again, pause, ...more) => {
    if (again.name !== "watch") return later(again, pause, ...more);  // fetch has its own
    told.pauses.push(pause);
    told.notices.push(page.notice.textContent);
    if (told.pauses.length < Number(looks)) return later(again, 1);
    console.log(JSON.stringify({ ...told, form: !page.key.hidden, jobs: page.jobs.seen(), counts: page.counts.seen() }));
    process.exit();
  },
});

await import(pathToFileURL(script));
if (token) {
  while (page.key.hidden) await new Promise((resolve) => later(resolve, 1));
  told.notices.push(page.notice.textContent);
  page.token.value = token;
  page.key.listeners.submit({ preventDefault() {} });
}
