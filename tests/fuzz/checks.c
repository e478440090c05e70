/* SPDX-License-Identifier: MIT */
/* The checks of checks.h on any bytes: no crash, and what they take keeps its promise.
 */
#include "http/checks.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void check_head(const char *p, size_t n) {
  size_t whole_at = 0, at = 0;
  ptrdiff_t whole = cw_scan_head(p, n, &whole_at), steps = 0;
  for (size_t k = 1; k <= n && steps == 0; k++) steps = cw_scan_head(p, k, &at);
  assert(whole == steps);
  if (whole > 0) assert(memcmp(p + whole - 4, "\r\n\r\n", 4) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  cw_request_line_t line;
  cw_target_t target;
  int64_t n;
  if (size < 2 || size > 2048) return 0;
  /* A copy of its own, so that a read past the end is seen. */
  char *p = malloc(size - 1), *out = malloc(size - 1);
  if (!p || !out) abort();
  memcpy(p, data + 1, size - 1);
  cw_span_t s = {p, size - 1};
  switch (data[0] % 8) {
    case 0:
      if (cw_check_host(s, data[0] & 8))
        assert(!memchr(p, '/', s.len) && !memchr(p, '@', s.len));
      break;
    case 1:
      if (cw_parse_length(s, &n)) assert(n >= 0);
      break;
    case 2:
      if (cw_check_transfer_encoding(s) == 0) assert(cw_span_is(cw_trim(s), "chunked"));
      break;
    case 3:
      if (cw_check_request_line(s, &line) == 0)
        assert(line.method.len && line.target.len && line.minor <= 1);
      break;
    case 4:
      if (cw_check_target((cw_span_t){"GET", 3}, s, &target) == 0)
        assert(target.path.len && target.path.p[0] == '/');
      break;
    case 5: assert(cw_percent_decode(s, out) <= s.len); break;
    case 6: check_head(p, s.len); break;
    default: cw_list_has(s, "close"); break;
  }
  free(p);
  free(out);
  return 0;
}
