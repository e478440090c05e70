/* SPDX-License-Identifier: MIT */
/* PROXY headers: a header that is taken is taken at its full length only. */
#include "http/proxy_header.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  cw_proxy_info_t info, part;
  if (size < 2) return 0;
  cw_proxy_mode_t mode = CW_PROXY_V1 + data[0] % 3;
  char *p = malloc(size - 1);
  if (!p) abort();
  memcpy(p, data + 1, size - 1);
  ssize_t len = cw_proxy_header_parse(p, size - 1, mode, &info);
  assert(len <= (ssize_t)size - 1);
  if (len == CW_PROXY_NONE) assert(mode == CW_PROXY_AUTO);
  for (ssize_t k = 1; k < len; k++)
    assert(cw_proxy_header_parse(p, (size_t)k, mode, &part) == 0);
  free(p);
  return 0;
}
