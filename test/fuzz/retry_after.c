/* What a receiver says in Retry-After: anything at all. */
#include "notify/notify_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    int64_t after = transport_retry_after((struct str){(const char *)bytes, len});
    must(after >= -1);
    return 0;
}
