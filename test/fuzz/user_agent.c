/* user_agent - what an unknown client says of itself; the prefilter must change no answer. The
 * regexes are Debian's where they are, so that their literals meet what they were made for. */
#include "enrich/enrich_priv.h"

#include "codec/text.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char few[] = "user_agent_parsers:\n"
                          "  - regex: '(Chrome|Firefox)/(\\d+)'\n"
                          "device_parsers:\n"
                          "  - regex: '; *([^;/]{1,30}) Build'\n"
                          "    device_replacement: 'x $1 y'\n";

static struct devices *
load(void)
{
    struct devices *devices;
    struct str yaml;
    struct err err;
    if (text_read_file("/usr/share/uap-core/regexes.yaml", 16u << 20, &yaml, &err)) {
        must(devices_parse_yaml(yaml, "regexes.yaml", &devices, &err));
        text_free(yaml);
    } else {
        must(devices_parse_yaml(str_from(few), "few", &devices, &err));
    }
    return devices;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct devices *devices; /* kept for the whole run: making them takes longest */
    static struct device_scratch *scratch;
    struct device with, without;
    struct str text = {(const char *)data, size};

    if (devices == NULL) {
        devices = load();
        scratch = device_scratch_new(devices);
    }
    devices_find(devices, scratch, text, false, &with);
    devices_find(devices, scratch, text, true, &without);
    must(memcmp(with.regex, without.regex, sizeof with.regex) == 0);
    for (enum device_kind kind = 0; kind < DEVICE_KINDS; kind++) {
        struct str name = {with.name[kind], with.len[kind]};
        must(name.len > 0 && name.len <= DEVICE_NAME_MAX && utf8_valid(name));
        must(str_equal(name, (struct str){without.name[kind], without.len[kind]}));
    }
    must(with.type.len > 0 && str_equal(with.type, without.type));
    return 0;
}
