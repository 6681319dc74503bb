/* verify - everything read from disk again, and whatever is wrong said, with file, offset and
 * record. After a place that cannot be read it goes on at the next one that can: what was lost
 * between them is said once, not blamed on all that follows. */
#include "log/log_priv.h"

#include <stdio.h>
#include <stdlib.h>

struct verify {
    struct log *log;
    void (*fn)(void *self, const struct log_finding *finding);
    void *self;
    uint64_t records;
    uint64_t *firsts; /* of the segments */
    size_t count, room;
    uint64_t newest_end; /* of one that is being written to; 0: all of the file */
    uint64_t seed;       /* of the first segment that could be read */
    struct chain chain;
    bool begun, known; /* is the chain; is where it stands */
    char name[NAME_SIZE];
};

static void
say(void *self, uint64_t offset, log_at at, const char *text)
{
    struct verify *verify = self;
    struct log_finding finding = {.offset = offset, .at = at};
    snprintf(finding.file, sizeof finding.file, "%s", verify->name);
    snprintf(finding.text, sizeof finding.text, "%s", text);
    verify->fn(verify->self, &finding);
}

/* What a reading function said, without the name and offset that it put before. */
const char *
text_of(const struct err *err)
{
    const char *text = strstr(err->text, "offset ");
    text = text == NULL ? NULL : strstr(text, ": ");
    return text == NULL ? err->text : text + 2;
}

static void
note_name(void *self, const char *name)
{
    struct verify *verify = self;
    uint64_t first;
    if (!segment_name_parse(name, &first))
        return;
    if (verify->count == verify->room) {
        verify->room = verify->room * 2 + 64;
        verify->firsts = base_realloc(verify->firsts, verify->room * sizeof *verify->firsts);
    }
    verify->firsts[verify->count++] = first;
}

static int
compare_firsts(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* -- a plain segment -------------------------------------------------------------------- */

static void
check_record(struct verify *verify, const struct record_view *view, uint64_t offset)
{
    const char *why = chain_add(&verify->chain, view, offset);
    if (why != NULL)
        say(verify, offset, view->at, why);
    verify->records += view->kind <= KIND_ROW_MAX;
}

/* Goes to the next whole record; false in *found_out when there is none. */
static bool
find_record(struct walk *walk, bool *found_out, struct err *err)
{
    struct record_view view;
    const char *why = "";
    *found_out = false;
    for (walk->at += 8; walk->at < walk->limit; walk->at += 8) {
        const unsigned char *bytes;
        size_t len;
        if (!walk_bytes(walk, RECORD_HEAD, &bytes, &len, err))
            return false;
        if (len < RECORD_HEAD)
            break;
        if (record_head(bytes, &view) != NULL)
            continue;
        if (!walk_record(walk, &view, &why, err))
            return false;
        *found_out = why == NULL;
        if (*found_out)
            return true;
    }
    walk->at = walk->limit;
    return true;
}

/* At a place where no record can be read. In the newest segment it may be its end. */
static bool
pass_bad(struct verify *verify, struct walk *walk, bool newest, const char *why, struct err *err)
{
    struct chain *chain = &verify->chain;
    uint64_t bad = walk->at;
    struct rest rest = {0};
    if (newest && !look_behind(walk, bad, &rest, err))
        return false;
    if (newest && rest.closes == 0) {
        walk->at = walk->limit;
        if (rest.used_to > chain->start) {
            char text[120];
            snprintf(text, sizeof text, "torn end: %llu bytes from here were no whole commit",
                     (unsigned long long)(rest.used_to - chain->start));
            say(verify, chain->start, 0, text);
        }
        chain->count = 0;
        return true;
    }
    const unsigned char *bytes;
    size_t len;
    struct record_view view = {0};
    walk->at = bad;
    if (!walk_bytes(walk, RECORD_HEAD, &bytes, &len, err))
        return false;
    if (len < RECORD_HEAD || record_head(bytes, &view) != NULL)
        view.at = 0;
    say(verify, bad, view.at, why);
    chain->lost = true;
    bool found;
    return find_record(walk, &found, err);
}

static bool
verify_plain(struct verify *verify, struct log_file *file, const struct header *header,
             const struct tail *end, struct err *err)
{
    const struct log_disk *disk = &verify->log->disk;
    uint64_t size;
    if (!disk->size(disk->self, file, &size, err))
        return false;
    uint64_t limit = end != NULL ? end->end : size;
    if (header->first == verify->firsts[verify->count - 1] && verify->newest_end != 0)
        limit = verify->newest_end;
    if (limit > size) {
        say(verify, size, 0, "the segment is shorter than it should be");
        limit = size;
    }
    struct walk walk;
    walk_init(&walk, disk, file, limit);
    walk.at = header->size;
    bool ok = true, first = true;
    while (ok && walk.at < walk.limit) {
        struct record_view view;
        const char *why;
        ok = walk_record(&walk, &view, &why, err);
        if (ok && why != NULL) {
            ok = pass_bad(verify, &walk, end == NULL, why, err);
        } else if (ok) {
            if (first && view.at != header->first)
                say(verify, walk.at, view.at, "the first row is not the one of the name");
            check_record(verify, &view, walk.at);
            walk.at += view.size;
        }
        first = false;
    }
    walk_fini(&walk);
    if (ok && verify->chain.count > 0)
        say(verify, verify->chain.start, verify->chain.at, "torn end: the commit is not closed");
    return ok;
}

/* -- segment after segment ----------------------------------------------------------------- */

/* Does the header go on from where the chain stands? */
static void
enter_segment(struct verify *verify, const struct header *header, size_t number)
{
    const struct tail nothing = tail_of_nothing();
    const struct tail *before = verify->begun ? &verify->chain.tail : &nothing;
    bool known = verify->begun ? verify->known : number == 0;
    if (!verify->begun) {
        verify->seed = header->seed;
        chain_init(&verify->chain, header);
    }
    if (header->first != verify->firsts[number])
        say(verify, 24, 0, "the segment was not made under this name");
    if (header->seed != verify->seed)
        say(verify, 16, 0, "the segment belongs to another folder");
    if (known && before->first != header->prev.first)
        say(verify, 32, 0, "the segment before this one is missing");
    else if (known && !tail_equal(before, &header->prev))
        say(verify, 32, 0, "the header does not follow the end of the segment before");
    chain_enter(&verify->chain, header);
    verify->begun = verify->known = true;
}

/* Where this segment's records end is known from the next one's header, if that can be read. */
static bool
next_says(struct verify *verify, size_t number, struct tail *tail_out)
{
    const struct log_disk *disk = &verify->log->disk;
    struct log_file *file;
    struct err ignored;
    struct header header;
    char name[NAME_SIZE];
    unsigned char magic[8];
    uint64_t size;
    segment_name(name, verify->firsts[number + 1]);
    if (!disk->open(disk->self, name, false, &file, &ignored))
        return false;
    bool ok =
        disk->size(disk->self, file, &size, &ignored) && size > SEALED_HEAD &&
        disk->read(disk->self, file, 0, magic, sizeof magic, &ignored) &&
        header_read(disk, file, is_sealed(magic) ? SEALED_HEAD : 0, size, &header, NULL, &ignored);
    disk->close(disk->self, file);
    if (ok)
        *tail_out = header.prev;
    return ok && header.prev.first == verify->firsts[number];
}

static bool
verify_file(struct verify *verify, size_t number, struct log_file **file, struct err *err)
{
    const struct log_disk *disk = &verify->log->disk;
    uint64_t size;
    unsigned char magic[8] = {0};
    struct header header;
    struct tail end;
    if (!disk->open(disk->self, verify->name, false, file, err) ||
        !disk->size(disk->self, *file, &size, err) ||
        (size >= sizeof magic && !disk->read(disk->self, *file, 0, magic, sizeof magic, err)))
        return false;
    if (is_sealed(magic)) {
        struct segment *segment;
        if (!sealed_open(verify->log, *file, &segment, NULL, err))
            return false;
        *file = NULL; /* it is the segment's now */
        enter_segment(verify, &segment->header, number);
        struct sealed_check check = {verify->log, segment, &verify->chain, 0, say, verify};
        bool ok = verify_sealed(&check, err);
        verify->records += check.records;
        segment_unref(segment);
        return ok;
    }
    if (!header_read(disk, *file, 0, size, &header, NULL, err))
        return false;
    enter_segment(verify, &header, number);
    bool has_end = number + 1 < verify->count && next_says(verify, number, &end);
    return verify_plain(verify, *file, &header, has_end ? &end : NULL, err);
}

/* A segment that cannot be read at all is a finding, and no reason not to read the next. */
static void
verify_segment(struct verify *verify, size_t number)
{
    struct err err = {0};
    struct log_file *file = NULL;
    segment_name(verify->name, verify->firsts[number]);
    if (!verify_file(verify, number, &file, &err)) {
        say(verify, 0, 0, text_of(&err));
        verify->known = false;
    }
    if (file != NULL)
        verify->log->disk.close(verify->log->disk.self, file);
}

static bool
collect(struct verify *verify, struct err *err)
{
    struct log *log = verify->log;
    if (log->read_only) {
        if (!log->disk.list(log->disk.self, note_name, verify, err))
            return false;
        qsort(verify->firsts, verify->count, sizeof *verify->firsts, compare_firsts);
        return true;
    }
    struct segments *segments = segments_take(log);
    pthread_mutex_lock(&log->mutex);
    for (size_t i = 0; i < segments->count; i++) {
        note_name(verify, segments->items[i]->name);
        verify->newest_end = segments->items[i]->end;
    }
    pthread_mutex_unlock(&log->mutex);
    segments_release(segments);
    return true;
}

bool
log_verify(struct log *log, void (*fn)(void *self, const struct log_finding *finding), void *self,
           uint64_t *records_out, struct err *err)
{
    struct verify verify = {.log = log, .fn = fn, .self = self};
    bool ok = collect(&verify, err);
    for (size_t i = 0; ok && i < verify.count; i++)
        verify_segment(&verify, i);
    if (!ok)
        err_prefix(err, "log");
    if (verify.begun)
        chain_fini(&verify.chain);
    base_free(verify.firsts);
    *records_out = verify.records;
    return ok;
}
