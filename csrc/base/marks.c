/* SPDX-License-Identifier: MIT */
/* Moments of a start. */
#include "base/marks.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

enum { MOST = 12 };

/* The process's. */
static struct {
  const char *name;
  int64_t at; /* us */
  long rss, pss;
} marks[MOST];
static unsigned n_marks;
static int64_t began, cpu; /* us */
static bool enabled;

void cw_marks_begin(void) {
  struct timespec used;
  began = cw_now_us();
  if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0)
    cpu = (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

void cw_marks_enable(void) {
  enabled = true;
}

void cw_marks_disable(void) {
  enabled = false;
}

bool cw_marks_on(void) {
  return enabled;
}

/* Memory of this process in KiB; 0 where the kernel does not tell. */
static void read_memory(long *rss, long *pss) {
  char line[128];
  FILE *f = fopen("/proc/self/smaps_rollup", "re");
  *rss = *pss = 0;
  while (f && fgets(line, sizeof(line), f)) {
    (void)sscanf(line, "Rss: %ld", rss);
    (void)sscanf(line, "Pss: %ld", pss);
  }
  if (f) fclose(f);
}

void cw_mark(const char *name) {
  if (!enabled || n_marks == MOST) return;
  marks[n_marks].name = name;
  marks[n_marks].at = cw_now_us();
  read_memory(&marks[n_marks].rss, &marks[n_marks].pss);
  n_marks++;
}

void cw_marks_text(char *out, size_t len) {
  int n = snprintf(out, len, "%" PRId64 ":%" PRId64, began, cpu);
  for (unsigned i = 0; i < n_marks && n >= 0 && (size_t)n < len; i++) {
    size_t used = (size_t)n;
    int more = snprintf(out + used, len - used, " %s:%" PRId64 ":%ld:%ld",
                        marks[i].name, marks[i].at, marks[i].rss, marks[i].pss);
    n = more < 0 ? more : n + more;
  }
}
