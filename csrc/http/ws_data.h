/* SPDX-License-Identifier: MIT */
/* The memory of a received message. Whoever has it may touch it; it is one block of
 * malloc(), so that it can go from the loop to the app without a copy. */
#ifndef CW_HTTP_WS_DATA_H
#define CW_HTTP_WS_DATA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"

typedef struct cw_ws_data {
  struct cw_ws_data *next; /* of those that wait for the app */
  size_t len, cap;
  bool text;
  char bytes[];
} cw_ws_data_t;

/* Makes room for `n` more bytes in `d`, NULL for a new one; beyond what is needed it
 * grows for `most` bytes in all. Returns where it is now, or NULL: no memory, `d` is as
 * it was. To be freed by free(). */
CW_MUSTCHECK cw_ws_data_t *cw_ws_data_reserve(cw_ws_data_t *d, size_t n, size_t most);

#endif
