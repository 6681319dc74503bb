#include "model/risk.h"

#define HIGH_FROM   70
#define MEDIUM_FROM 40

struct risk
risk_of(const enum severity *severities, size_t count)
{
    static const double weights[SEVERITY_COUNT] = {0.20, 0.40, 0.70, 0.95};
    double harmless = 1;
    for (size_t i = 0; i < count; i++)
        harmless *= 1 - weights[severities[i]];
    int score = (int)(100 * (1 - harmless) + 0.5);
    const char *level = score >= HIGH_FROM ? "high" : score >= MEDIUM_FROM ? "medium" : "low";
    return (struct risk){score, level};
}

void
risk_write(struct buffer *out, struct risk risk)
{
    json_name(out, "risk");
    json_open(out, '{');
    json_put_int(out, "score", risk.score);
    json_put_str(out, "level", str_from(risk.level));
    json_close(out, '}');
}
