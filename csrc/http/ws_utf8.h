/* SPDX-License-Identifier: MIT */
/* UTF-8 (RFC 3629) checked as it comes, in any pieces: a wrong byte is noticed when it
 * is there, never later. No I/O, no allocation. */
#ifndef CW_HTTP_WS_UTF8_H
#define CW_HTTP_WS_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

/* All zero begins a text. */
typedef struct cw_ws_utf8 {
  uint8_t need;      /* bytes of the open character still to come */
  uint8_t low, high; /* what the next of them may be */
} cw_ws_utf8_t;

/* Whether these bytes can go on with the text. */
CW_MUSTCHECK bool cw_ws_utf8_feed(cw_ws_utf8_t *u, const char *p, size_t n);

/* Whether the text may end here. */
static inline bool cw_ws_utf8_is_whole(const cw_ws_utf8_t *u) {
  return u->need == 0;
}

#endif
