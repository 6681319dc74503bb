/* uap_cases - reads uap-core's public tests: rows of user_agent_string and family. */
#ifndef UAP_CASES_H
#define UAP_CASES_H

#include "enrich/enrich_priv.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

/* Calls `fn` for each row; returns how many there were, 0 when the file cannot be read. */
static inline size_t
uap_cases(const char *path, void (*fn)(void *self, struct str user_agent, struct str family),
          void *self)
{
    FILE *file = fopen(path, "r");
    yaml_parser_t parser;
    yaml_event_t event;
    struct buffer text[2]; /* user agent, family */
    size_t count = 0;
    int into = -1;
    bool is_name = true, more = file != NULL && yaml_parser_initialize(&parser);

    if (!more)
        return 0;
    buffer_init(&text[0], 1 << 20);
    buffer_init(&text[1], 1 << 20);
    yaml_parser_set_input_file(&parser, file);
    while (more && yaml_parser_parse(&parser, &event)) {
        if (event.type == YAML_MAPPING_START_EVENT) {
            is_name = true;
            buffer_clear(&text[0]);
            buffer_clear(&text[1]);
        } else if (event.type == YAML_MAPPING_END_EVENT && text[0].len > 0) {
            count++;
            fn(self, buffer_str(&text[0]), buffer_str(&text[1]));
            buffer_clear(&text[0]);
        } else if (event.type == YAML_SCALAR_EVENT && is_name) {
            struct str name = {(const char *)event.data.scalar.value, event.data.scalar.length};
            into = str_equal(name, STR("user_agent_string")) ? 0
                   : str_equal(name, STR("family"))          ? 1
                                                             : -1;
            is_name = false;
        } else if (event.type == YAML_SCALAR_EVENT) {
            if (into >= 0)
                buffer_add_bytes(&text[into], event.data.scalar.value, event.data.scalar.length);
            is_name = true;
        }
        more = event.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    fclose(file);
    buffer_fini(&text[0]);
    buffer_fini(&text[1]);
    return count;
}

#endif
