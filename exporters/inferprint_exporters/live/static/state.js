// What the server has told so far.

export class State {
  constructor() {
    this.changed = 0; // goes up whenever the rows are others
    this.forget(null);
  }

  /** Begins anew: another server, or the same one restarted. */
  forget(hello) {
    this.hello = hello;
    this.rows = []; // oldest first
    this.past = [];
    this.now = null;
    this.changed += 1;
  }

  greet(hello) {
    const isOther = this.hello !== null && this.hello.server !== hello.server;
    if (isOther || this.hello === null) this.forget(hello);
    else this.hello = hello;
    return isOther;
  }

  /** Adds rows that came, but for those that are here already. */
  add(rows) {
    const last = this.rows.at(-1)?.n ?? 0;
    for (const row of rows) if (row.n > last) this.rows.push(row);
    const most = this.hello?.most ?? 10_000;
    if (this.rows.length > most * 1.05) this.rows.splice(0, this.rows.length - most);
    this.changed += 1;
  }

  tell(now) {
    this.now = now;
    if (now.sample) this.past.push(now.sample);
    if (this.past.length > 700) this.past.splice(0, 100);
  }

  get latest() {
    return this.rows.at(-1) ?? null;
  }
}
