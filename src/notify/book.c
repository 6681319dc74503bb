/* book - rows and outcomes on their way to the store.
 *
 * Sending does not wait for the row. What a crash forgets goes out again under the same id,
 * because the cursor moves in the transaction that makes the rows. While the store says no,
 * nothing here is dropped: when the book is full the log is not read on and nothing more is
 * sent.
 *
 * Of its two pages one is open and takes what comes; the other is closed and being written, by a
 * thread of the book's own, because a sync may take as long as it likes and no receiver is to wait
 * for that. A page that could not be written stays closed until it is. */
#include "notify/notify_priv.h"

/* Where only the cursor moves, a crash costs no delivery: logins that were told of at the first
 * attempt are told of again. A sync for them would make those of the log wait. */
#define CURSOR_FORGOTTEN_US TIME_US_PER_SECOND
#define CURSOR_EVERY_US     TIME_US_PER_MINUTE

void
book_init(struct book *book)
{
    *book = (struct book){.batch = 1};
    book->open = base_alloc(1, sizeof *book->open);
    book->closed = base_alloc(1, sizeof *book->closed);
    book_page_init(book->open);
    book_page_init(book->closed);
    must(pthread_mutex_init(&book->lock, NULL) == 0);
    must(pthread_cond_init(&book->changed, NULL) == 0);
}

void
book_fini(struct book *book)
{
    must(!book->has_writer);
    book_page_fini(book->open);
    book_page_fini(book->closed);
    base_free(book->open);
    base_free(book->closed);
    must(pthread_cond_destroy(&book->changed) == 0);
    must(pthread_mutex_destroy(&book->lock) == 0);
}

/* -- what comes -------------------------------------------------------------------- */

bool
book_has_row_room(const struct book *book, size_t more)
{
    size_t count = book->closed_rows + book->open->row_count;
    return count == 0 || count + more <= BOOK_MAX;
}

bool
book_has_outcome_room(const struct notify *notify, size_t more)
{
    const struct book *book = &notify->book;
    return book->closed_outcomes + book->open->outcome_count + notify->flying + more < BOOK_MAX;
}

bool
book_is_written(const struct book *book, uint64_t batch)
{
    return batch + (book->closed_now != CLOSED_NONE) < book->batch;
}

static void
note_waiting(struct notify *notify)
{
    if (notify->book.first_at == 0)
        notify->book.first_at = monotonic_us(notify);
}

/* What has begun is never dropped: beyond BOOK_MAX, which stops what is new, it grows. */
struct book_row *
book_add_row(struct notify *notify)
{
    struct book_page *page = notify->book.open;
    note_waiting(notify);
    if (page->row_count == page->row_cap) {
        page->row_cap *= 2;
        page->rows = base_realloc(page->rows, page->row_cap * sizeof *page->rows);
    }
    struct book_row *row = &page->rows[page->row_count++];
    *row = (struct book_row){0};
    return row;
}

struct book_outcome *
book_add_outcome(struct notify *notify)
{
    struct book_page *page = notify->book.open;
    note_waiting(notify);
    if (page->outcome_count == page->outcome_cap) {
        page->outcome_cap *= 2;
        page->outcomes = base_realloc(page->outcomes, page->outcome_cap * sizeof *page->outcomes);
    }
    struct book_outcome *outcome = &page->outcomes[page->outcome_count++];
    *outcome = (struct book_outcome){0};
    return outcome;
}

void
book_forget(struct notify *notify, const struct job *job)
{
    struct book *book = &notify->book;
    struct book_page *page = book->open;
    must(page->outcome_count > 0);
    if (job->batch == book->batch) {
        page->rows[job->row].lane = NULL;
        page->forgotten++;
        page->outcome_count--;
    } else {
        page->outcomes[page->outcome_count - 1].forget = true;
    }
}

int64_t
book_due(const struct book *book)
{
    if (book->closed_now == CLOSED_WRITING)
        return INT64_MAX;
    if (book->closed_now == CLOSED_WAITS)
        return book->retry_at;
    const struct book_page *page = book->open;
    size_t rows = page->row_count - page->forgotten;
    if (rows >= BOOK_BATCH || page->outcome_count >= BOOK_BATCH || page->row_count >= BOOK_MAX / 2)
        return 0;
    if (book->first_at != 0)
        return book->first_at +
               (rows + page->outcome_count > 0 ? BOOK_DELAY_US : CURSOR_FORGOTTEN_US);
    return book->cursor > book->closed_cursor ? book->cursor_at + CURSOR_EVERY_US : INT64_MAX;
}

/* -- the writer -------------------------------------------------------------------- */

static void
lock(struct book *book)
{
    must(pthread_mutex_lock(&book->lock) == 0);
}

static void
unlock(struct book *book)
{
    must(pthread_mutex_unlock(&book->lock) == 0);
}

/* False: it is over. */
static bool
wait_for_page(struct book *book)
{
    lock(book);
    while (!book->given && !book->stopping)
        must(pthread_cond_wait(&book->changed, &book->lock) == 0);
    bool given = book->given;
    book->given = false;
    unlock(book);
    return given;
}

static void *
write_pages(void *self)
{
    struct notify *notify = self;
    struct book *book = &notify->book;
    while (wait_for_page(book)) {
        struct err err = {0};
        bool written = book_page_write(book->closed, notify->options.store, &err);
        lock(book);
        book->done = true;
        book->written = written;
        book->err = err;
        must(pthread_cond_broadcast(&book->changed) == 0);
        unlock(book);
        notify_wake(notify);
    }
    return NULL;
}

void
book_start(struct notify *notify)
{
    struct book *book = &notify->book;
    must(!book->has_writer && !book->stopping);
    must(pthread_create(&book->writer, NULL, write_pages, notify) == 0);
    book->has_writer = true;
}

void
book_stop(struct book *book)
{
    if (!book->has_writer)
        return;
    lock(book);
    book->stopping = true;
    must(pthread_cond_broadcast(&book->changed) == 0);
    unlock(book);
    must(pthread_join(book->writer, NULL) == 0);
    book->has_writer = false;
}

/* -- closing, and what came of it -------------------------------------------------- */

static void
take_result(struct notify *notify, bool written, const struct err *err)
{
    struct book *book = &notify->book;
    book->closed_now = written ? CLOSED_NONE : CLOSED_WAITS;
    if (written) {
        if (book->retry_us != 0)
            diag_note("deliveries are written again");
        book->closed_rows = book->closed_outcomes = 0;
        book->retry_at = book->retry_us = 0;
        return;
    }
    if (book->retry_us == 0)
        diag_warn("deliveries wait to be written: %s", err->text);
    book->retry_us = book->retry_us == 0 ? RETRY_LATER_US : book->retry_us * 2;
    if (book->retry_us > RETRY_MOST_US)
        book->retry_us = RETRY_MOST_US;
    book->retry_at = monotonic_us(notify) + book->retry_us;
}

/* Takes what came of the page that the writer has, or waits for it. */
static void
collect(struct notify *notify, bool wait)
{
    struct book *book = &notify->book;
    if (book->closed_now != CLOSED_WRITING)
        return;
    lock(book);
    while (wait && !book->done)
        must(pthread_cond_wait(&book->changed, &book->lock) == 0);
    bool done = book->done, written = book->written;
    struct err err = book->err;
    book->done = false;
    unlock(book);
    if (done)
        take_result(notify, written, &err);
}

static void
begin_writing(struct notify *notify)
{
    struct book *book = &notify->book;
    struct err err = {0};
    if (!book->has_writer) {
        bool written = book_page_write(book->closed, notify->options.store, &err);
        take_result(notify, written, &err);
        return;
    }
    book->closed_now = CLOSED_WRITING;
    lock(book);
    book->given = true;
    must(pthread_cond_broadcast(&book->changed) == 0);
    unlock(book);
}

/* False: there is nothing to write. */
static bool
close_page(struct notify *notify)
{
    struct book *book = &notify->book;
    struct book_page *page = book->open;
    must(book->closed_now == CLOSED_NONE);
    health_close(notify);
    if (book->cursor > book->closed_cursor) {
        page->cursor = book->closed_cursor = book->cursor;
        book->cursor_at = monotonic_us(notify);
    }
    if (book_page_is_empty(page))
        return false;
    book->open = book->closed;
    book->closed = page;
    book->closed_now = CLOSED_WAITS;
    book->closed_rows = page->row_count;
    book->closed_outcomes = page->outcome_count;
    book->batch++;
    book->first_at = 0;
    return true;
}

void
book_write(struct notify *notify)
{
    struct book *book = &notify->book;
    collect(notify, false);
    if (book_due(book) <= monotonic_us(notify) &&
        (book->closed_now == CLOSED_WAITS || close_page(notify)))
        begin_writing(notify);
}

static bool
write_closed(struct notify *notify)
{
    begin_writing(notify);
    collect(notify, true);
    return notify->book.closed_now == CLOSED_NONE;
}

bool
book_flush(struct notify *notify)
{
    struct book *book = &notify->book;
    collect(notify, true);
    return (book->closed_now == CLOSED_NONE || write_closed(notify)) &&
           (!close_page(notify) || write_closed(notify));
}
