// A list as one run, page after page.

import type { Page } from "./types.js";

const PAGE_SIZE = 100;

export async function* pages<F extends object, R>(
  filters: F,
  list: (filters: F) => Promise<Page<R>>,
): AsyncGenerator<R, void, undefined> {
  let next: F = { limit: PAGE_SIZE, ...filters };
  for (;;) {
    const { data, pagination } = await list(next);
    yield* data;
    // A page may be short, or empty, and still not be the last: the server bounds the work it does
    // for one.
    if (!pagination.has_more || pagination.next_cursor === null) return;
    next = { ...next, cursor: pagination.next_cursor };
  }
}
