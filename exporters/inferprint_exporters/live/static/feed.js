// The stream of events, and whether it is there.

const SILENT_MS = 3500;
const AGAIN_MS = 2000;

/** Listens until the page is closed. `on`: a function for each event; `link(state, silent_s)`. */
export function listen(on, link) {
  let heard = performance.now();
  let source = null;

  function open() {
    source = new EventSource("events");
    for (const name of ["hello", "past", "receipts", "state"]) {
      source.addEventListener(name, (event) => {
        heard = performance.now();
        on[name](JSON.parse(event.data));
      });
    }
    // The browser tries again by itself, but for an answer that is no stream.
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) setTimeout(open, AGAIN_MS);
    });
  }

  function look() {
    const silent = performance.now() - heard;
    link(silent > SILENT_MS ? "lost" : "live", Math.round(silent / 1000));
  }

  open();
  setInterval(look, 500);
}
