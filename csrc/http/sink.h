/* SPDX-License-Identifier: MIT */
/* Writing into a buffer of fixed size: what does not fit is left out, an escape is
 * never cut in two. For the access log's formatters only. */
#ifndef CW_HTTP_SINK_H
#define CW_HTTP_SINK_H

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

typedef struct cw_sink {
  char *p;
  size_t n, size;
} cw_sink_t;

void cw_sink_put(cw_sink_t *s, const char *p, size_t n);
void cw_sink_text(cw_sink_t *s, const char *text);
void cw_sink_printf(cw_sink_t *s, const char *fmt, ...) CW_PRINTF(2, 3);
void cw_sink_number(cw_sink_t *s, int64_t n);

/* A dot and six digits: the rest of a second in microseconds. */
void cw_sink_micros(cw_sink_t *s, unsigned us);

/* At most `most` bytes of output: `\"`, `\\` and \xNN for what is no printable ASCII.
 */
void cw_sink_escaped(cw_sink_t *s, cw_span_t v, size_t most);

/* As the inside of a JSON string; bytes that are not UTF-8 become \u00NN. */
void cw_sink_json(cw_sink_t *s, cw_span_t v, size_t most);

#endif
