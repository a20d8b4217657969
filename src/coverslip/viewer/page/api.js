// What the server is asked for.

export async function ask(path) {
  let reply;
  try {
    reply = await fetch(path, { headers: { Accept: "application/json" } });
  } catch {
    throw new Error("coverslip view does not answer: was it stopped?");
  }
  if (reply.ok) return reply.json();
  const text = await reply.text();
  let reason = text.trim();
  try { reason = JSON.parse(text).error; } catch { /* it was plain text */ }
  throw new Error(reason);
}

export const ofSlide = (id, more = "") => `/api/slides/${encodeURIComponent(id)}${more}`;
export const withRun = (path, run) => (run ? `${path}?run=${encodeURIComponent(run)}` : path);
