// The event stream of the API, read by fetch: EventSource would need every kind's name beforehand,
// and does not tell that a login is over.

const AGAIN_MS = [1000, 2000, 5000, 10000, 30000];

/** Read events (of the manager, or of another stream) until aborted, coming back after each cut with the number of the last one. */
export async function read({ url = "/api/v1/events/stream", after = null, signal, onEvent, onState }) {
  let last = after;
  let fails = 0;
  while (!signal.aborted) {
    try {
      const headers = last === null ? {} : { "Last-Event-ID": last };
      const answer = await fetch(url, { headers, signal });
      if (answer.status === 401) return location.reload();
      if (answer.ok) {
        onState("on", last);
        fails = 0;
        for await (const message of messages(answer.body)) {
          if (message.id !== null) last = message.id;
          if (message.data) onEvent({ kind: message.event, ...JSON.parse(message.data) });
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof TypeError) && !(error instanceof SyntaxError)) throw error;
    }
    onState("off");
    await pause(AGAIN_MS[Math.min(fails++, AGAIN_MS.length - 1)], signal);
  }
}

async function* messages(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    let end;
    while ((end = text.indexOf("\n\n")) >= 0) {
      yield parse(text.slice(0, end));
      text = text.slice(end + 2);
    }
  }
}

function parse(text) {
  const message = { id: null, event: "message", data: "" };
  for (const line of text.split("\n")) {
    const colon = line.indexOf(": ");
    const name = line.slice(0, colon);
    if (colon > 0 && name in message) message[name] = line.slice(colon + 2);
  }
  return message;
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
