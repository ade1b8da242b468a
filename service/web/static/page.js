// Shows sessions, or one session with its four scenes, from the scenes contract. Nothing private is used.
const POLL_MS = 1000;
const SCENARIOS = { hook: "Hook", problem: "Problem", solution: "Solution", cta: "Call to action" };
const main = document.querySelector("#main");

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

async function ask(path) {
  const answer = await fetch(path);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error);
  return body;
}

async function showSessions() {
  const { sessions } = await ask("/api/sessions");
  if (sessions.length === 0) {
    main.replaceChildren(element("p", { textContent: "No sessions yet. Run “scenewright demo”, or create one over the API." }));
    return;
  }
  const items = sessions.map((session) => {
    const link = element("a", { href: `/?session=${session.session_id}`, textContent: session.product || "Untitled" });
    const when = new Date(session.created_at).toLocaleString();
    const note = `${session.scene_videos.length} of 4 videos · ${when}`;
    return element("li", {}, link, element("div", { className: "muted", textContent: note }));
  });
  main.replaceChildren(element("h2", { textContent: "Sessions" }), element("ul", {}, ...items));
}

function card(scenario, description, video, scene) {
  const name = SCENARIOS[scenario];
  const parts = [element("h3", { textContent: name })];
  if (scene?.status === "generating") {
    const label = `${name}: ${scene.stage}, ${scene.progress} %`;
    const bar = element("progress", { max: 100, value: scene.progress });
    bar.setAttribute("aria-label", label);
    parts.push(bar, element("div", { className: "muted", textContent: label }));
  }
  if (scene?.error) parts.push(element("p", { className: "error", textContent: scene.error }));
  if (video) {
    const player = element("video", { src: video.video_url, controls: true, playsInline: true, preload: "metadata" });
    player.setAttribute("aria-label", `${name}, take ${video.take}`);
    parts.push(player);
  }
  parts.push(element("p", { className: "muted", textContent: description?.description ?? "Not described yet." }));
  return element("li", {}, ...parts);
}

async function showSession(id) {
  const session = await ask(`/api/session/${encodeURIComponent(id)}`);
  const job = session.jobs[0] ? await ask(session.jobs[0].status_url) : null;
  document.querySelector("#notice").hidden = session.provider !== "local";
  const find = (list, scenario) => list?.find((item) => item.scenario === scenario);
  const cards = Object.keys(SCENARIOS).map((scenario) =>
    card(scenario, find(session.scene_descriptions, scenario), find(session.scene_videos, scenario), find(job?.scenes, scenario)));
  main.replaceChildren(
    element("h2", { textContent: session.brief.product || "Untitled" }),
    element("ul", { className: "scenes" }, ...cards),
  );
  if (job?.overall_status === "generating") setTimeout(() => show(), POLL_MS);
}

async function show() {
  const id = new URLSearchParams(location.search).get("session");
  try {
    await (id ? showSession(id) : showSessions());
  } catch (error) {
    main.replaceChildren(element("p", { className: "error", textContent: `That did not work: ${error.message}` }));
  }
}

show();
