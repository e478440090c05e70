/* SPDX-License-Identifier: MIT */
/* Strict decoder of the chunked transfer coding (RFC 9112 section 7.1).
 *
 * llhttp's own chunk parser is not used: 8.1 sets no bound on extensions and takes
 * line ends that other parsers read differently. No I/O, no allocation. */
#ifndef CW_HTTP_CHUNKED_H
#define CW_HTTP_CHUNKED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"

typedef struct cw_chunked {
  uint64_t left;     /* bytes of the open chunk still to come */
  uint32_t overhead; /* bytes of extensions, or of trailers */
  uint8_t state;
  uint8_t digits;
  uint8_t trailers;
} cw_chunked_t;

void cw_chunked_init(cw_chunked_t *c);

/* Reads from `p` until it has met one run of body bytes, used up all `n` bytes or
 * come to the end of the body. Returns how many bytes it used (0 only for n == 0 or
 * at the end) or -1 where the framing is broken; `data` is the run, empty if none. */
CW_MUSTCHECK ssize_t cw_chunked_next(cw_chunked_t *c, const char *p, size_t n,
                                     cw_span_t *data);

/* Whether the last chunk and the trailer section were read. */
bool cw_chunked_done(const cw_chunked_t *c);

#endif
