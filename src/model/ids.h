/* ids - the written identities: a prefix and a UUID. */
#ifndef MODEL_IDS_H
#define MODEL_IDS_H

#include "base/system.h"
#include "codec/text.h"

#define ID_SIZE 40 /* "evt_" and the UUID */

/* "rul_", "whk_", "key_", "dlv_", "mem_": a random UUIDv4 behind the prefix (4 characters). */
void id_new(struct random random, const char prefix[static 5], char out[static ID_SIZE]);
/* evt_<uuidv7 of that time>. */
void id_new_event(struct random random, int64_t time_us, char out[static ID_SIZE]);
/* ws_<8 hex>; "default" is the first workspace's *name*, its id is like any other. */
#define WORKSPACE_ID_SIZE 11
void id_new_workspace(struct random random, char out[static WORKSPACE_ID_SIZE]);

#endif
