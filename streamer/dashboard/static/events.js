// The server-sent events for the current view; reconnects automatically.

const SILENCE = 5000; // Milliseconds: the server sends an event every second.

export class EventStream {
  constructor(onParts, onState) {
    this.onParts = onParts;
    this.onState = onState;
    this.url = null;
    this.source = null;
    this.receivedAt = 0;
    this.failures = 0;
    this.retry = 0;
    setInterval(() => this.watch(), 1000);
    document.addEventListener('visibilitychange', () => this.hide());
  }

  open(url) {
    this.url = url;
    this.failures = 0;
    this.connect();
  }

  connect() {
    clearTimeout(this.retry);
    this.source?.close();
    const source = new EventSource(this.url);
    this.source = source;
    this.receivedAt = performance.now();
    let first = true;
    source.onmessage = (event) => {
      if (source !== this.source) return;
      this.receivedAt = performance.now();
      this.failures = 0;
      this.onState('open');
      this.onParts(JSON.parse(event.data), first);
      first = false;
    };
    source.onerror = () => {
      if (source === this.source) this.lost();
    };
  }

  lost() {
    this.source?.close();
    this.source = null;
    this.onState('lost');
    clearTimeout(this.retry);
    this.failures = Math.min(this.failures + 1, 5);
    this.retry = setTimeout(() => this.reconnect(), 500 * this.failures);
  }

  async reconnect() {
    try {
      const answer = await fetch('/api/session', { cache: 'no-store' });
      if (answer.status === 401) {
        location.assign('/login');
        return;
      }
      if (!document.hidden) this.connect();
    } catch {
      this.lost();
    }
  }

  watch() {
    if (this.source && performance.now() - this.receivedAt > SILENCE) this.lost();
  }

  // A page in the background costs the server nothing, and leaves the browser's six connections to visible pages.
  hide() {
    if (document.hidden) {
      this.source?.close();
      this.source = null;
      clearTimeout(this.retry);
    } else if (this.url && !this.source) this.connect();
  }
}
