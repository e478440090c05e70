/* SPDX-License-Identifier: MIT */
/* Names of modes. */
#include "base/modes.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "base/macros.h"

static int find(const char *text, const char *const *names, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (strcasecmp(text, names[i]) == 0) return (int)i;
  return -1;
}

int cw_proxy_mode_parse(const char *text) {
  static const char *const names[] = {"off", "v1", "v2", "auto"};
  /* A configuration file may say True or False. */
  if (strcmp(text, "1") == 0) return CW_PROXY_AUTO;
  if (strcmp(text, "0") == 0) return CW_PROXY_OFF;
  return find(text, names, CW_ARRAY_LEN(names));
}

int cw_underscores_parse(const char *text) {
  static const char *const names[] = {"drop", "refuse", "dangerous"};
  return find(text, names, CW_ARRAY_LEN(names));
}
