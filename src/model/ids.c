/* ids - the written identities. */
#include <string.h>

#include "model/ids.h"

static void
write_id(const char prefix[static 5], const struct uuid *uuid, char out[static ID_SIZE])
{
    memcpy(out, prefix, 4);
    uuid_format(uuid, out + 4);
}

void
id_new(struct random random, const char prefix[static 5], char out[static ID_SIZE])
{
    must(prefix[3] == '_' && prefix[4] == '\0');
    struct uuid uuid = uuid_v4(random);
    write_id(prefix, &uuid, out);
}

void
id_new_event(struct random random, int64_t time_us, char out[static ID_SIZE])
{
    struct uuid uuid = uuid_v7(random, time_us);
    write_id("evt_", &uuid, out);
}

void
id_new_workspace(struct random random, char out[static WORKSPACE_ID_SIZE])
{
    unsigned char bytes[4];
    random.fill(random.self, bytes, sizeof bytes);
    memcpy(out, "ws_", 3);
    hex_encode(bytes, sizeof bytes, out + 3);
}
