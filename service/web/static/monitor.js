// Shows the public feed of the video jobs contract. Nothing private is used, and nothing from elsewhere.
const FEED = "/api/v1/video-jobs/all";
const POLL_MS = 3000;
const KEPT = "monitor token";
const [notice, key, token, counts, jobs] = ["notice", "key", "token", "counts", "jobs"].map((id) =>
  document.querySelector(`#${id}`));

let known = "";         // ETag of what is shown
let cards = new Map();  // job -> what was said of it, and its card

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function time(moment) {
  return new Date(moment).toLocaleTimeString();
}

function bar(percent) {
  const fill = element("div", { className: "progress-fill" });
  fill.style.width = `${percent}%`;
  const track = element("div", { className: "progress-track", role: "progressbar" }, fill);
  for (const [name, value] of [["valuemin", 0], ["valuemax", 100], ["valuenow", percent], ["label", "Progress"]])
    track.setAttribute(`aria-${name}`, value);
  return element("div", { className: "progress-bar" }, track,
    element("span", { className: "progress-text", textContent: `${percent}%` }));
}

function logs(lines) {
  const entries = lines.map(({ timestamp, level, message }) =>
    element("li", { className: `log-entry log-${level}` },
      element("span", { className: "timestamp", textContent: time(timestamp) }),
      element("span", { className: "message", textContent: message })));
  return element("ol", { className: "logs-panel" }, ...entries);
}

function video(job) {
  const address = new URL(job.videoUrl, location.href);
  if (address.origin === location.origin) {
    const player = element("video", { src: address.href, controls: true, playsInline: true, preload: "metadata" });
    player.setAttribute("aria-label", `Video of job ${job.id}`);
    return player;
  }
  // At a delivery network, where this page asks for nothing by itself.
  return element("a", { href: address.href, rel: "noopener noreferrer", textContent: "Watch the video" });
}

function card(job) {
  const made = [job.model, job.resolution, job.aspectRatio, `${job.durationSeconds} s`].join(" · ");
  const parts = [
    element("div", { className: "job-header" },
      element("span", { className: "job-id", textContent: job.id }),
      element("span", { className: `status status-${job.status.toLowerCase()}`, textContent: job.status })),
    bar(job.progressPercentage),
    element("div", { className: "status-message", textContent: job.statusMessage }),
    element("div", { textContent: job.prompt ?? "From images" }),
    element("div", { className: "muted", textContent: `${made} · ${new Date(job.createdAt).toLocaleString()}` }),
    logs(job.logs),
  ];
  if (job.videoUrl) parts.push(video(job));
  return element("li", { className: "job-card" }, ...parts);
}

function count(name, value) {
  return element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value }));
}

function show(feed) {
  const average = feed.averageSeconds === null ? "–" : `${feed.averageSeconds} s`;
  counts.replaceChildren(
    ...Object.entries(feed.counts).map(([status, number]) => count(status, number)),
    count("Average time", average));
  // A card stays for as long as nothing is new, so that a film goes on playing.
  cards = new Map(feed.jobs.map((job) => {
    const name = `${job.id} ${job.createdAt}`, said = JSON.stringify(job), before = cards.get(name);
    return [name, before?.said === said ? before : { said, card: card(job) }];
  }));
  const shown = [...cards.values()].map((it) => it.card);
  if (shown.length !== jobs.children.length || shown.some((it, at) => it !== jobs.children[at]))
    jobs.replaceChildren(...shown);
  notice.textContent = feed.jobs.length ? `As of ${time(feed.generatedAt)}` : "No jobs yet.";
}

function close(wrong) {
  known = "";
  cards = new Map();
  sessionStorage.removeItem(KEPT);
  counts.replaceChildren();
  jobs.replaceChildren();
  key.hidden = false;
  notice.textContent = wrong ? "That token does not open this monitor." : "This monitor is closed. Its token opens it.";
}

// Answers when to ask again, in milliseconds; 0: not before there is a token.
async function look() {
  const shownToken = sessionStorage.getItem(KEPT);
  const headers = { ...(known && { "If-None-Match": known }), ...(shownToken && { Authorization: `Bearer ${shownToken}` }) };
  const answer = await fetch(FEED, { headers, cache: "no-store" });
  if (answer.status === 401) return close(shownToken !== null), 0;
  if (answer.status === 429) return Math.max(POLL_MS, 1000 * Number(answer.headers.get("Retry-After")));
  if (answer.status !== 304 && !answer.ok) throw new Error(`the server answers ${answer.status}`);
  key.hidden = true;
  if (answer.status !== 304) {
    show(await answer.json());
    known = answer.headers.get("ETag") ?? "";
  }
  return POLL_MS;
}

async function watch() {
  let pause = POLL_MS;
  try {
    pause = await look();
  } catch (error) {
    known = "";
    notice.textContent = `The monitor cannot be read: ${error.message}. It is tried again.`;
  }
  if (pause) setTimeout(watch, pause);
}

key.addEventListener("submit", (event) => {
  event.preventDefault();
  // A header holds no more than this; what is something else is no token.
  sessionStorage.setItem(KEPT, token.value.trim().replace(/[^\x21-\x7e ]/g, "?"));
  token.value = "";
  key.hidden = true;
  watch();
});

watch();
