/* SPDX-License-Identifier: MIT */
/* Writing into a buffer of fixed size: what does not fit is left out, an escape is
 * never cut in two. For the access log's formatters only. */
#ifndef CW_HTTP_LINE_H
#define CW_HTTP_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

typedef struct cw_line {
  char *p;
  size_t n, size;
} cw_line_t;

void cw_line_put(cw_line_t *s, const char *p, size_t n);
void cw_line_text(cw_line_t *s, const char *text);
void cw_line_printf(cw_line_t *s, const char *fmt, ...) CW_PRINTF(2, 3);
void cw_line_number(cw_line_t *s, int64_t n);

/* A dot and six digits: the rest of a second in microseconds. */
void cw_line_micros(cw_line_t *s, unsigned us);

/* At most `most` bytes of output: `\"`, `\\` and \xNN for what is no printable ASCII.
 */
void cw_line_escaped(cw_line_t *s, cw_span_t v, size_t most);

/* As the inside of a JSON string; bytes that are not UTF-8 become \u00NN. */
void cw_line_json(cw_line_t *s, cw_span_t v, size_t most);

#endif
