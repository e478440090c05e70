/* SPDX-License-Identifier: MIT */
/* Checking what was inherited. */
#include "base/heritage.h"

#include <string.h>

static bool ends(const char *text, size_t size) {
  return memchr(text, '\0', size) != NULL;
}

/* `argc` words from `p` on, all before `end`. */
static bool has_words(const char *p, const char *end, int argc) {
  for (int i = 0; i < argc; i++) {
    if (p >= end || !ends(p, (size_t)(end - p))) return false;
    p += strlen(p) + 1;
  }
  return true;
}

bool cw_heritage_is_sound(const void *memory, size_t size) {
  const cw_heritage_t *h = memory;
  const char *base = memory;
  if (size < sizeof(*h) || h->magic != CW_HERITAGE_MAGIC || h->size != size ||
      h->n_listeners < 0 || h->n_listeners > CW_MAX_LISTENERS || h->argc < 0 ||
      h->argv_off < sizeof(*h) || h->argv_off > size || h->settings_off < h->argv_off ||
      h->settings_off > size || h->settings_len > size - h->settings_off)
    return false;
  /* Every setting ends with NUL. */
  if (h->settings_len && base[h->settings_off + h->settings_len - 1] != '\0')
    return false;
  for (int i = 0; i < h->n_listeners; i++)
    if (!ends(h->listeners[i].host, sizeof(h->listeners[i].host)) ||
        !ends(h->listeners[i].port, sizeof(h->listeners[i].port)))
      return false;
  return ends(h->cwd, sizeof(h->cwd)) &&
         has_words(base + h->argv_off, base + h->settings_off, h->argc);
}
