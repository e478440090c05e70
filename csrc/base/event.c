/* SPDX-License-Identifier: MIT */
/* Wake-up of one thread over a futex: four bytes and no lock, where a condition
 * variable would add 88 bytes to every thread and request. */
#include "base/event.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ThreadSanitizer holds signals back from threads in system calls it does not know:
 * there the wait ends now and then. */
#ifdef __SANITIZE_THREAD__
static const struct timespec longest = {.tv_nsec = 20 * 1000 * 1000};
#define LONGEST &longest
#else
#define LONGEST NULL
#endif

void cw_event_wait(cw_event_t *e) {
  while (atomic_exchange(&e->set, 0) == 0)
    syscall(SYS_futex, &e->set, FUTEX_WAIT_PRIVATE, 0, LONGEST, NULL, 0);
}

bool cw_event_wait_for(cw_event_t *e, int ms) {
  const struct timespec most = {ms / 1000, ms % 1000 * 1000L * 1000L};
  if (atomic_exchange(&e->set, 0) != 0) return true;
  syscall(SYS_futex, &e->set, FUTEX_WAIT_PRIVATE, 0, &most, NULL, 0);
  return atomic_exchange(&e->set, 0) != 0;
}

void cw_event_set(cw_event_t *e) {
  if (atomic_exchange(&e->set, 1) == 0)
    syscall(SYS_futex, &e->set, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
