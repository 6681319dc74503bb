/* risk - what the alerts of one event come to, as one number to act on.
 *
 * Each alert counts by its severity: low 20, medium 40, high 70, critical 95 of 100. They are
 * combined as independent chances, 100 × (1 − Π (1 − weight / 100)), rounded to the nearest whole
 * number: more alerts never lower the score, and two of a kind weigh more than one. Level: high
 * from 70, medium from 40, low below. */
#ifndef MODEL_RISK_H
#define MODEL_RISK_H

#include "model/alert.h"

struct risk {
    int score;         /* 0 without alerts, at most 100 */
    const char *level; /* "low", "medium", "high" */
};

struct risk risk_of(const enum severity *severities, size_t count);

/* Appends the member `risk`: {"score":…,"level":…}. */
void risk_write(struct buffer *out, struct risk risk);

#endif
