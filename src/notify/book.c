/* book - rows and outcomes on their way to the store.
 *
 * Sending does not wait for the row. What a crash forgets goes out again under the same id,
 * because the cursor moves in the transaction that makes the rows. While the store says no,
 * nothing here is dropped: when the book is full the log is not read on and nothing more is
 * sent. */
#include "notify/notify_priv.h"

#include <string.h>

#define CURSOR_EVERY_US TIME_US_PER_MINUTE

void
book_init(struct book *book)
{
    *book = (struct book){.row_cap = BOOK_MAX, .outcome_cap = BOOK_MAX, .batch = 1};
    book->rows = base_alloc(BOOK_MAX, sizeof *book->rows);
    book->outcomes = base_alloc(BOOK_MAX, sizeof *book->outcomes);
}

void
book_fini(struct book *book)
{
    base_free(book->rows);
    base_free(book->outcomes);
    *book = (struct book){0};
}

bool
book_has_row_room(const struct book *book, size_t more)
{
    return book->row_count == 0 || book->row_count + more <= BOOK_MAX;
}

/* Each request in flight will have an outcome. */
bool
book_has_outcome_room(const struct notify *notify)
{
    return notify->book.outcome_count + notify->flying + 1 < BOOK_MAX;
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
    struct book *book = &notify->book;
    note_waiting(notify);
    if (book->row_count == book->row_cap) {
        book->row_cap *= 2;
        book->rows = base_realloc(book->rows, book->row_cap * sizeof *book->rows);
    }
    struct book_row *row = &book->rows[book->row_count++];
    *row = (struct book_row){0};
    return row;
}

struct book_outcome *
book_add_outcome(struct notify *notify)
{
    struct book *book = &notify->book;
    note_waiting(notify);
    if (book->outcome_count == book->outcome_cap) {
        book->outcome_cap *= 2;
        book->outcomes = base_realloc(book->outcomes, book->outcome_cap * sizeof *book->outcomes);
    }
    struct book_outcome *outcome = &book->outcomes[book->outcome_count++];
    *outcome = (struct book_outcome){0};
    return outcome;
}

void
book_forget(struct notify *notify, const struct job *job)
{
    struct book *book = &notify->book;
    must(book->outcome_count > 0);
    if (job->batch == book->batch) {
        book->rows[job->row].lane = NULL;
        book->outcome_count--;
    } else {
        book->outcomes[book->outcome_count - 1].forget = true;
    }
}

int64_t
book_due(const struct book *book)
{
    int64_t due = INT64_MAX;
    if (book->first_at != 0)
        due = book->row_count >= BOOK_BATCH || book->outcome_count >= BOOK_BATCH
                  ? 0
                  : book->first_at + BOOK_DELAY_US;
    else if (book->cursor > book->written_cursor)
        due = book->cursor_at + CURSOR_EVERY_US;
    return due == INT64_MAX || due > book->retry_at ? due : book->retry_at;
}

/* -- writing ------------------------------------- */

static bool
write_rows(struct notify *notify, struct err *err)
{
    struct book *book = &notify->book;
    struct store_delivery *rows =
        arena_array(&notify->scratch, book->row_count, struct store_delivery);
    must(rows != NULL);
    size_t count = 0;
    for (size_t i = 0; i < book->row_count; i++) {
        const struct book_row *row = &book->rows[i];
        if (row->lane == NULL)
            continue; /* forgotten */
        rows[count++] = (struct store_delivery){
            .workspace_id = row->lane->workspace_id,
            .id = {row->id, ID_SIZE},
            .webhook_id = row->lane->webhook_id,
            .alert_id = {row->alert_id, row->alert_id_len},
            .event_type = webhook_event_name(row->kind),
            .record_at = row->record_at,
            .status = DELIVERY_PENDING,
            .next_attempt_at = row->made_at,
            .created_at = row->made_at,
        };
    }
    if (!store_deliveries_make(notify->options.store, rows, count, book->cursor, err))
        return false;
    book->row_count = 0;
    book->batch++;
    book->written_cursor = book->cursor;
    book->cursor_at = monotonic_us(notify);
    return true;
}

static bool
write_outcomes(struct notify *notify, struct err *err)
{
    struct book *book = &notify->book;
    struct store_outcome *outcomes =
        arena_array(&notify->scratch, book->outcome_count, struct store_outcome);
    must(outcomes != NULL);
    for (size_t i = 0; i < book->outcome_count; i++) {
        const struct book_outcome *outcome = &book->outcomes[i];
        outcomes[i] = (struct store_outcome){
            .forget = outcome->forget,
            .delivery = {.webhook_id = outcome->lane->webhook_id,
                         .event_type = webhook_event_name(outcome->kind),
                         .record_at = outcome->record_at,
                         .status = outcome->status,
                         .attempts = outcome->number,
                         .next_attempt_at = outcome->next_attempt_at},
            .attempt = {.number = outcome->number,
                        .at = outcome->at,
                        .duration_us = outcome->duration_us,
                        .status = outcome->http_status,
                        .error =
                            outcome->error[0] == '\0' ? (struct str){0} : str_from(outcome->error),
                        .answer = outcome->has_answer
                                      ? (struct str){outcome->answer, outcome->answer_len}
                                      : (struct str){0}},
        };
    }
    if (!store_deliveries_update(notify->options.store, outcomes, book->outcome_count, err))
        return false;
    book->outcome_count = 0;
    return true;
}

static bool
write_all(struct notify *notify, struct err *err)
{
    struct book *book = &notify->book;
    bool rows = book->row_count > 0 || book->cursor > book->written_cursor;
    return (!rows || write_rows(notify, err)) &&
           (book->outcome_count == 0 || write_outcomes(notify, err)) && health_write(notify, err);
}

void
book_write(struct notify *notify, bool now)
{
    struct book *book = &notify->book;
    if (!now && book_due(book) > monotonic_us(notify))
        return;
    struct err err = {0};
    arena_reset(&notify->scratch);
    if (write_all(notify, &err)) {
        if (book->retry_us != 0)
            diag_note("deliveries are written again");
        book->first_at = book->retry_at = book->retry_us = 0;
        return;
    }
    if (book->retry_us == 0)
        diag_warn("deliveries wait to be written: %s", err.text);
    book->retry_us = book->retry_us == 0 ? RETRY_LATER_US : book->retry_us * 2;
    if (book->retry_us > RETRY_MOST_US)
        book->retry_us = RETRY_MOST_US;
    book->retry_at = monotonic_us(notify) + book->retry_us;
}
