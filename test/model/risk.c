/* The score of an event's alerts (see model/risk.h). */
#include "model/risk.h"
#include "tap.h"

static void
test_one_alert_scores_its_severity(void)
{
    static const int scores[SEVERITY_COUNT] = {20, 40, 70, 95};
    static const char *const levels[SEVERITY_COUNT] = {"low", "medium", "high", "high"};
    CHECK_INT(risk_of(NULL, 0).score, 0);
    CHECK_TEXT(risk_of(NULL, 0).level, "low");
    for (enum severity severity = SEVERITY_LOW; severity < SEVERITY_COUNT; severity++) {
        struct risk risk = risk_of(&severity, 1);
        CHECK_INT(risk.score, scores[severity]);
        CHECK_TEXT(risk.level, levels[severity]);
    }
}

static void
test_more_alerts_never_lower_the_score(void)
{
    enum severity severities[8] = {SEVERITY_LOW};
    for (unsigned seed = 0; seed < 4096; seed++) {
        int before = 0;
        for (size_t count = 1; count <= COUNT_OF(severities); count++) {
            severities[count - 1] = (enum severity)((seed >> (count - 1)) & 3);
            struct risk risk = risk_of(severities, count);
            CHECK(risk.score >= before && risk.score <= 100);
            before = risk.score;
        }
    }
    const enum severity two[] = {SEVERITY_MEDIUM, SEVERITY_MEDIUM};
    CHECK_INT(risk_of(two, 2).score, 64);
}

int
main(void)
{
    RUN(test_one_alert_scores_its_severity);
    RUN(test_more_alerts_never_lower_the_score);
    return tap_done();
}
