/* rule_maker - rules out of the text that a client would send. */
#ifndef SUPPORT_RULE_MAKER_H
#define SUPPORT_RULE_MAKER_H

#include "detect/detect.h"

/* The rule with that id, its texts in the arena; must() that it is accepted. */
struct rule make_rule(struct arena *arena, const char *id, const char *json);
/* False: the first complaint is in `*violation_out`. */
bool try_rule(struct arena *arena, const char *json, struct rule *rule_out,
              struct violation *violation_out);
/* Compiled; free with detect_rule_free. `others` as for detect_rule_new. */
struct detect_rule *compile_rule(const struct rule *rule, const struct rule *const *others,
                                 size_t other_count);

#endif
