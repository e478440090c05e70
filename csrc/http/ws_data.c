/* SPDX-License-Identifier: MIT */
/* Memory of messages: as much as the first piece asks for, then doubled. */
#include "http/ws_data.h"

#include "base/fault.h"

cw_ws_data_t *cw_ws_data_reserve(cw_ws_data_t *d, size_t n, size_t most) {
  size_t len = d ? d->len : 0, cap = d ? d->cap : 0;
  if (d && cap - len >= n) return d;
  cap = CW_MAX(len + n, CW_MIN(2 * cap, most));
  cw_ws_data_t *grown = cw_realloc(d, sizeof(*d) + cap);
  if (!grown) return NULL;
  if (!d) *grown = (cw_ws_data_t){.next = NULL};
  grown->cap = cap;
  return grown;
}
