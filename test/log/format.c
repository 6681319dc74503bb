/* The format is what doc/log-format.md says: its examples, made again, are the same bytes; and
 * tools/verify-log.py, which knows nothing of ours, finds them right and everything else wrong. */
#include "log/sample.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char doc[64 * 1024];

static void
read_doc(void)
{
    FILE *file = fopen("doc/log-format.md", "rb");
    must(file != NULL); /* tests run in the top folder */
    size_t len = fread(doc, 1, sizeof doc - 1, file);
    must(len < sizeof doc - 1);
    doc[len] = '\0';
    fclose(file);
}

/* The `number`th block of the document that is marked so; without its fences. */
static struct str
block(const char *mark, unsigned number)
{
    char fence[32];
    snprintf(fence, sizeof fence, "\n```%s\n", mark);
    const char *at = doc;
    for (;; number--) {
        at = strstr(at, fence);
        must(at != NULL);
        at += strlen(fence);
        if (number == 0)
            break;
    }
    const char *end = strstr(at, "```");
    must(end != NULL);
    return (struct str){at, (size_t)(end - at)};
}

/* Hex with any spacing, and what follows a `#` is a remark. */
static size_t
read_hex(struct str text, unsigned char *out, size_t max)
{
    size_t digits = 0;
    bool remark = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        remark = c == '#' || (remark && c != '\n');
        int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (remark || value < 0)
            continue;
        must(digits / 2 < max);
        out[digits / 2] = (unsigned char)(digits % 2 == 0 ? value << 4 : out[digits / 2] | value);
        digits++;
    }
    must(digits % 2 == 0);
    return digits / 2;
}

static void
write_note(void *self, struct buffer *note)
{
    (void)self;
    (void)note;
}

/* The example: two commits in an empty segment whose header the document gives, since its seed is
 * random in life; then an orderly stop. */
static size_t
make_example(unsigned char *out, size_t max)
{
    static const uint64_t terms[] = {0x2222222222222222, 0x1111111111111111};
    struct log_record rows[] = {
        {1000, 1, terms, 2, STR("auth.login"), {STR("{\"a\":1}")}},
        {1001, 2, terms, 1, {0}, {STR("an alert"), STR(", in two parts")}},
        {1005, 1, NULL, 0, STR("doc.read"), {STR("x")}},
    };
    struct fake_disk *disk = fake_new(1);
    struct log_disk table = fake_table(disk);
    struct log_file *file;
    struct log_recovery recovery;
    struct err err = {0};
    struct log *log;
    unsigned char header[256];
    size_t header_len = read_hex(block("hex", 0), header, sizeof header);
    const char *name = "00000000000000001000.log";
    must(table.open(disk, name, true, &file, &err));
    must(table.write(disk, file, 0, header, header_len, &err) && table.sync(disk, file, &err));
    table.close(disk, file);

    struct log_options options = {
        .disk = table, .segment_bytes = LOG_SEGMENT_MIN, .write_note = write_note};
    if (!log_open(&options, &log, &recovery, &err)) {
        printf("# %s\n", err.text);
        must(false);
    }
    must(log_add(log, &rows[0], &err) && log_add(log, &rows[1], &err));
    must(log_commit(log, NULL, NULL, &err));
    must(log_add(log, &rows[2], &err) && log_commit(log, NULL, NULL, &err));
    log_close(log);
    const struct fake_inode *inode = fake_file(disk, name);
    size_t len = inode->len;
    while (len > 0 && inode->now[len - 1] == 0)
        len--;
    len = (len + 7) / 8 * 8;
    must(len <= max);
    memcpy(out, inode->now, len);
    fake_free(disk);
    return len;
}

static void
test_the_example_segment_is_made_again_byte_for_byte(void)
{
    unsigned char made[2048], wanted[2048];
    size_t len = make_example(made, sizeof made);
    size_t wanted_len = read_hex(block("hex", 0), wanted, sizeof wanted);
    wanted_len += read_hex(block("hex", 1), wanted + wanted_len, sizeof wanted - wanted_len);
    CHECK_INT((intmax_t)len, (intmax_t)wanted_len);
    size_t at = 0;
    while (at < len && at < wanted_len && made[at] == wanted[at])
        at++;
    if (!CHECK(at == len && at == wanted_len)) {
        printf("# they differ at %zu; made:\n", at);
        for (size_t i = 0; i < len; i++)
            printf("%s%02x%s", i % 32 == 0 ? "# " : "", made[i],
                   i % 32 == 31 || i + 1 == len ? "\n" : "");
    }
}

/* -- the script --------------------------------------------------------------------------- */

static char folder[] = "/tmp/tocsin-format-XXXXXX";

static void
put_file(const char *name, const void *bytes, size_t len, char path[static 128])
{
    snprintf(path, 128, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    must(file != NULL && fwrite(bytes, 1, len, file) == len && fclose(file) == 0);
}

/* What it printed goes to `said`; true when it found all right. */
static bool
script(const char *arguments, char said[static 512])
{
    char command[512];
    snprintf(command, sizeof command, "python3 tools/verify-log.py %s 2>&1", arguments);
    FILE *pipe = popen(command, "r");
    must(pipe != NULL);
    size_t len = fread(said, 1, 511, pipe);
    said[len] = '\0';
    return pclose(pipe) == 0;
}

static void
test_the_script_finds_the_example_right_and_any_change_wrong(void)
{
    unsigned char made[2048];
    char path[128], said[512];
    size_t len = make_example(made, sizeof made);
    put_file("a.log", made, len, path);
    if (!CHECK(script(path, said)))
        printf("# %s\n", said);
    struct str closing = block("hash", 0);
    char hex[65] = {0};
    memcpy(hex, closing.ptr, 64);
    CHECK(strstr(said, hex) != NULL);
    CHECK(strstr(said, "3 commits, 0 bytes behind") != NULL);
    for (size_t at = 100; at < len - 8; at += 37) {
        made[at] ^= 1;
        put_file("a.log", made, len, path);
        made[at] ^= 1;
        /* A changed checksum or magic shows as a commit that is wrong, or as bytes behind the last.
         * */
        if (!CHECK(!script(path, said) || strstr(said, " 0 bytes behind") == NULL))
            printf("# at %zu: %s\n", at, said);
    }
    unlink(path);
}

static void
test_the_script_follows_the_event_chain_of_the_example(void)
{
    char path[128], said[512], arguments[256], text[4096];
    struct str lines = block("ndjson", 0);
    put_file("a.ndjson", lines.ptr, lines.len, path);
    snprintf(arguments, sizeof arguments, "--workspace=ws_example %s", path);
    if (!CHECK(script(arguments, said)))
        printf("# %s\n", said);
    snprintf(arguments, sizeof arguments, "--workspace=ws_other %s", path);
    CHECK(!script(arguments, said));
    CHECK(lines.len < sizeof text);
    memcpy(text, lines.ptr, lines.len);
    *(strstr(text, "auth.login") + 5) = 'L';
    put_file("a.ndjson", text, lines.len, path);
    CHECK(!script(path, said));
    CHECK(strstr(said, ":1: the event has been changed") != NULL);
    unlink(path);
}

/* The rule of the event chain, by our own SHA-256, over the stored bytes the document shows. */
static void
test_the_event_chain_is_the_hash_before_and_the_stored_bytes(void)
{
    struct sha256 *sha = sha256_new();
    unsigned char hash[SHA256_SIZE];
    char hex[2 * SHA256_SIZE + 1] = {0};
    sha256_once(STR("tocsin event chain 1 ws_example"), hash);
    struct str lines = block("json", 0), line;
    for (unsigned i = 0; i < 2; i++) {
        line = str_split(&lines, '\n');
        sha256_begin(sha);
        sha256_add(sha, hash, sizeof hash);
        sha256_add(sha, line.ptr, line.len);
        sha256_end(sha, hash);
        for (size_t j = 0; j < sizeof hash; j++)
            snprintf(hex + 2 * j, 3, "%02x", hash[j]);
        if (!CHECK(strstr(block("ndjson", 0).ptr, hex) != NULL))
            printf("# event %u: %s\n", i + 1, hex);
    }
    sha256_free(sha);
}

int
main(void)
{
    read_doc();
    must(mkdtemp(folder) != NULL);
    RUN(test_the_example_segment_is_made_again_byte_for_byte);
    RUN(test_the_script_finds_the_example_right_and_any_change_wrong);
    RUN(test_the_event_chain_is_the_hash_before_and_the_stored_bytes);
    RUN(test_the_script_follows_the_event_chain_of_the_example);
    rmdir(folder);
    return tap_done();
}
