/* A text that is a time has a written form, which is the same time; any name is a zone or none. */
#include "codec/time.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    int64_t time_us, again_us;
    const struct zone *zone = zone_find(text);
    if (zone != NULL) {
        struct local_time local;
        zone_local(zone, TIME_US_MAX, &local);
        zone_local(zone, TIME_US_MIN, &local);
    }
    if (!time_parse(text, &time_us))
        return 0;
    char written[TIME_TEXT_SIZE], local_text[LOCAL_TIME_TEXT_SIZE];
    time_format(time_us, written);
    must(time_parse((struct str){written, sizeof written}, &again_us) && again_us == time_us);

    struct local_time local;
    zone_local(zone_find(STR("America/St_Johns")), time_us, &local);
    must(local.weekday >= 0 && local.weekday < 7 && local.month >= 1 && local.month <= 12);
    must(local_time_format(&local, local_text) <= LOCAL_TIME_TEXT_SIZE);
    return 0;
}
