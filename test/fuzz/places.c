/* places - a CSV file of places, and a list of addresses, as somebody may have written them. */
#include "enrich/enrich_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct places *places;
    struct err err;
    if (!places_parse(text, "places.csv", &places, &err))
        return 0;
    struct address address;
    must(address_parse(STR("10.1.2.3"), &address));
    const struct place *place = places_find(places, &address);
    if (place != NULL) {
        must(network_contains(&place->network, &address));
        must(place->location.country.ptr == NULL || place->location.country.len == 2);
        must(!place->location.has_point ||
             (place->location.latitude >= -90 && place->location.latitude <= 90));
    }
    places_free(places);
    return 0;
}
