/* book_page - what the book writes to the store at once. */
#include "notify/notify_priv.h"

enum { PAGE_MEMORY = 64 * 1024 * 1024, HEALTH_FIRST = 16 };

void
book_page_init(struct book_page *page)
{
    *page = (struct book_page){.row_cap = BOOK_MAX, .outcome_cap = BOOK_MAX};
    page->rows = base_alloc(BOOK_MAX, sizeof *page->rows);
    page->outcomes = base_alloc(BOOK_MAX, sizeof *page->outcomes);
    arena_init(&page->arena, 16384, PAGE_MEMORY);
}

void
book_page_fini(struct book_page *page)
{
    base_free(page->rows);
    base_free(page->outcomes);
    base_free(page->health);
    arena_fini(&page->arena);
    *page = (struct book_page){0};
}

bool
book_page_is_empty(const struct book_page *page)
{
    return page->row_count == 0 && page->outcome_count == 0 && page->health_count == 0 &&
           page->cursor == 0;
}

struct store_health *
book_page_add_health(struct book_page *page)
{
    if (page->health_count == page->health_cap) {
        page->health_cap = page->health_cap == 0 ? HEALTH_FIRST : page->health_cap * 2;
        page->health = base_realloc(page->health, page->health_cap * sizeof *page->health);
    }
    return &page->health[page->health_count++];
}

/* The cursor moves in the transaction that makes the rows. */
static bool
write_rows(struct book_page *page, struct store *store, struct err *err)
{
    struct store_delivery *rows = arena_array(&page->arena, page->row_count, struct store_delivery);
    must(rows != NULL);
    size_t count = 0;
    for (size_t i = 0; i < page->row_count; i++) {
        const struct book_row *row = &page->rows[i];
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
    if (!store_deliveries_make(store, rows, count, page->cursor, err))
        return false;
    page->row_count = page->forgotten = 0;
    page->cursor = 0;
    return true;
}

static bool
write_outcomes(struct book_page *page, struct store *store, struct err *err)
{
    struct store_outcome *outcomes =
        arena_array(&page->arena, page->outcome_count, struct store_outcome);
    must(outcomes != NULL);
    for (size_t i = 0; i < page->outcome_count; i++) {
        const struct book_outcome *outcome = &page->outcomes[i];
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
    if (!store_deliveries_update(store, outcomes, page->outcome_count, err))
        return false;
    page->outcome_count = 0;
    return true;
}

static bool
write_health(struct book_page *page, struct store *store, struct err *err)
{
    if (!store_webhooks_health(store, page->health, page->health_count, err))
        return false;
    page->health_count = 0;
    return true;
}

bool
book_page_write(struct book_page *page, struct store *store, struct err *err)
{
    arena_reset(&page->arena);
    return ((page->row_count == 0 && page->cursor == 0) || write_rows(page, store, err)) &&
           (page->outcome_count == 0 || write_outcomes(page, store, err)) &&
           (page->health_count == 0 || write_health(page, store, err));
}
