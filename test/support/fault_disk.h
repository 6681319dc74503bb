/* fault_disk - the real disk, but for the calls that a test wants to fail. */
#ifndef SUPPORT_FAULT_DISK_H
#define SUPPORT_FAULT_DISK_H

#include "log/log.h"

#include <stdatomic.h>

enum { FAULT_WRITE = 1, FAULT_SYNC = 2, FAULT_TRUNCATE = 4, FAULT_MAKE = 8, FAULT_ALL = 15 };

struct fault_disk {
    struct log_disk real;
    unsigned kinds;           /* of calls that are counted and may fail; FAULT_ALL */
    _Atomic int64_t calls;    /* so far, of these kinds */
    _Atomic int64_t fail_at;  /* the number of the first that fails; 0: none does */
    _Atomic int64_t fail_for; /* how many from there on */
    _Atomic int64_t failed;
};
/* The real disk must outlive it. A write that fails leaves half of itself behind. */
struct log_disk fault_disk(struct fault_disk *fault, struct log_disk real);
/* The next `fail_for` calls after `later` more ones fail. */
void fault_disk_arm(struct fault_disk *fault, int64_t later, int64_t fail_for);

#endif
