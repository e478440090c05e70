/* SPDX-License-Identifier: MIT */
/* The chunked decoder: the same bytes in any pieces give the same body and end. */
#include "http/chunked.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef struct result {
  size_t used, len;
  int end; /* 1: complete, 0: more, -1: broken */
  unsigned char body[4096];
} result_t;

static void decode(const char *p, size_t n, size_t step, result_t *r) {
  cw_chunked_t c;
  cw_chunked_init(&c);
  memset(r, 0, sizeof(*r));
  while (r->used < n && !cw_chunked_done(&c)) {
    cw_span_t data;
    ssize_t k = cw_chunked_next(&c, p + r->used, CW_MIN(step, n - r->used), &data);
    if (k < 0) {
      r->end = -1;
      r->used = 0;
      return;
    }
    assert(k > 0);
    r->used += (size_t)k;
    if (r->len + data.len <= sizeof(r->body) && data.len)
      memcpy(r->body + r->len, data.p, data.len);
    r->len += data.len;
  }
  r->end = cw_chunked_done(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static result_t whole, steps;
  if (size < 1) return 0;
  decode((const char *)data + 1, size - 1, size, &whole);
  decode((const char *)data + 1, size - 1, data[0] % 16 + 1, &steps);
  assert(whole.end == steps.end && whole.len <= size);
  if (whole.end >= 0) assert(whole.used == steps.used);
  if (whole.end >= 0 && whole.len <= sizeof(whole.body)) {
    assert(whole.len == steps.len);
    assert(memcmp(whole.body, steps.body, whole.len) == 0);
  }
  return 0;
}
