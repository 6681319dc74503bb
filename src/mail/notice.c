/* notice - what the server itself has to say: plain words, and the mail that tries the way out. */
#include "mail/mail_priv.h"

bool
mail_write_notice(struct buffer *out, const struct mail_letter *letter,
                  const struct mail_notice *notice)
{
    struct page page;
    char thread[THREAD_SIZE];
    page_init(&page);
    page_add(&page, LINE_TITLE, NULL, notice->subject);
    for (struct str rest = notice->text; rest.ptr != NULL;)
        page_add(&page, LINE_PARAGRAPH, NULL, str_split(&rest, '\n'));
    page_add(&page, LINE_FOOT, "Workspace", letter->workspace_id);
    page_add(&page, LINE_FOOT, NULL, STR("You get this as an owner or admin of the workspace."));
    struct message message = {
        .letter = letter,
        .subject = notice->subject,
        .thread = thread_of("notice", letter->workspace_id, notice->subject, thread),
        .page = &page};
    bool ok = message_write(out, &message);
    page_fini(&page);
    return ok;
}

bool
mail_write_test(struct buffer *out, const struct mail_letter *letter)
{
    struct page page;
    page_init(&page);
    page_add(&page, LINE_TITLE, NULL, STR("Mail from Tocsin arrives"));
    page_add(&page, LINE_LEAD, NULL,
             STR("Somebody asked for this message to see whether alerts would reach you. They "
                 "would; there is nothing to do."));
    if (letter->public_url.len > 0) {
        buffer_add(page_open(&page, LINE_LINK, "Open Tocsin"), letter->public_url);
        page_close(&page);
    }
    page_add(&page, LINE_FOOT, "Workspace", letter->workspace_id);
    struct message message = {
        .letter = letter, .subject = STR("Tocsin: a test of the mail"), .page = &page};
    bool ok = message_write(out, &message);
    page_fini(&page);
    return ok;
}
