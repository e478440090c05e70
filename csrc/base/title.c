/* SPDX-License-Identifier: MIT */
/* Process titles. The kernel shows [arg_start, arg_end) of our memory, and goes on into
 * the environment behind it where that does not end with NUL (fs/proc/base.c,
 * get_mm_cmdline). Where these are is in /proc/self/stat, so it does not matter whose
 * main() was called. */
#include "base/title.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

extern char **environ;

static char *area, *area_end;

/* Takes the memory over, after moving the environment out of it. */
static int take_area(char *start, char *env, char *end) {
  /* Of the launcher, in its child; or there is no environment to know it by. */
  bool ours = strncmp(start, "cwsgi: ", 7) == 0 || env == end;
  for (char **e = environ; *e; e++) {
    if (*e < env || *e >= end) continue;
    ours = true;
    char *copy = strdup(*e);
    if (!copy) return -1;
    *e = copy;
  }
  /* Under valgrind the kernel knows of valgrind's words, not of ours. */
  if (!ours) return -1;
  area = start;
  area_end = end;
  return 0;
}

/* Fields 48 to 51 of proc(5)'s stat: arg_start, arg_end, env_start, env_end. */
static int find_area(void) {
  char text[2048];
  unsigned long field[4] = {0};
  FILE *f = fopen("/proc/self/stat", "re");
  size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
  if (f) fclose(f);
  text[n] = '\0';
  /* The name, field 2, may hold anything; it ends at the last parenthesis. */
  char *p = strrchr(text, ')');
  if (!p) return -1;
  int at = 2;
  for (p++; *p && at < 52; at++) {
    unsigned long value = strtoul(p + strspn(p, " "), NULL, 10);
    if (at >= 47 && at <= 50) field[at - 47] = value;
    p += strspn(p, " ");
    p += strcspn(p, " ");
  }
  /* The two are side by side, or this is no memory to write to. */
  if (!field[0] || field[1] <= field[0] || field[2] != field[1] || field[3] < field[2])
    return -1;
  return take_area((char *)field[0], (char *)field[2], (char *)field[3]);
}

void cw_title_set(const char *fmt, ...) {
  char text[256];
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(text, sizeof(text), fmt, ap);
  va_end(ap);
  if (n <= 0 || (!area && find_area() != 0)) return;
  size_t len = CW_MIN((size_t)n, sizeof(text) - 1);
  size_t room = (size_t)(area_end - area);
  len = CW_MIN(len, room - 1);
  memset(area, 0, room);
  memcpy(area, text, len);
}
