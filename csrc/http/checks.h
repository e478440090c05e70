/* SPDX-License-Identifier: MIT */
/* What cwsgi checks beyond llhttp's strict mode, each rule beside its clause in
 * RFC 9110, 9112 or 3986. Pure functions of bytes: any thread, no state. */
#ifndef CW_HTTP_CHECKS_H
#define CW_HTTP_CHECKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

enum { CW_BYTE_TOKEN = 1, CW_BYTE_VALUE = 2, CW_BYTE_TARGET = 4, CW_BYTE_HOST = 8 };

/* Classes of every byte value. */
extern const uint8_t cw_byte_class[256];

/* tchar, RFC 9110 section 5.6.2. */
static inline bool cw_is_token_byte(unsigned char c) {
  return cw_byte_class[c] & CW_BYTE_TOKEN;
}
/* field-vchar, SP and HTAB: RFC 9110 section 5.5. */
static inline bool cw_is_value_byte(unsigned char c) {
  return cw_byte_class[c] & CW_BYTE_VALUE;
}

bool cw_is_token(cw_span_t s);
bool cw_is_value(cw_span_t s);

/* Whether `s` is `word` without regard to case; `word` is in lower case. */
bool cw_span_is(cw_span_t s, const char *word);

/* Removes SP and HTAB on both sides (OWS). */
cw_span_t cw_trim(cw_span_t s);

/* Looks for `word` in a comma-separated list (RFC 9110 section 5.6.1). */
bool cw_list_has(cw_span_t list, const char *word);

/* RFC 9110 section 8.6: 1*DIGIT and nothing else. Returns false for a sign, a blank,
 * a list or a number past 2^53. */
bool cw_parse_length(cw_span_t s, int64_t *out);

/* RFC 9112 section 6.1: 0 where the one coding is "chunked", else 400 or, where a
 * coding is not known, 501. */
int cw_check_transfer_encoding(cw_span_t s);

/* RFC 9110 section 7.2: uri-host [ ":" port ]. The host of a Host field may be empty
 * (RFC 9112 section 3.2: the target has none), that of an http URI never (section 4.2.1
 * of RFC 9110). */
bool cw_check_host(cw_span_t s, bool may_be_empty);

/* The parts of a request line (RFC 9112 section 3). */
typedef struct cw_request_line {
  cw_span_t method, target;
  int minor; /* 0 or 1: a later one is served as 1.1 */
} cw_request_line_t;

/* Splits and checks a request line without its CRLF. Returns 0 or the status to refuse
 * with: 400, 501 (CONNECT) or 505. */
int cw_check_request_line(cw_span_t line, cw_request_line_t *out);

/* The parts of a request target (RFC 9112 section 3.2). */
typedef struct cw_target {
  cw_span_t path;      /* with escapes; "" for "*" */
  cw_span_t query;     /* without '?' */
  cw_span_t authority; /* of the absolute form, else empty */
  bool https;          /* the absolute form said so */
} cw_target_t;

/* Returns 0 or 400. */
int cw_check_target(cw_span_t method, cw_span_t target, cw_target_t *out);

/* Decodes %XX (RFC 3986 section 2.1) from `s` to `out` (s.len bytes of room). Returns
 * the length. A '%' without two hexadecimal digits is kept as it is. */
size_t cw_percent_decode(cw_span_t s, char *out);

/* Finds the end of a header section: lines end in CRLF and only so (RFC 9112 section
 * 2.2), and no line starts with a blank (obs-fold, section 5.2). `*scanned` is where
 * to go on, and is moved. Returns the length with the empty line, 0 where more bytes
 * are needed, or -1. */
ptrdiff_t cw_scan_head(const char *p, size_t n, size_t *scanned);

/* Whether a method is HEAD, whose response has no body (RFC 9110 section 9.3.2); and
 * whether a request line that may not be whole has it. */
bool cw_is_head(cw_span_t method);
bool cw_is_head_line(cw_span_t line);

#endif
