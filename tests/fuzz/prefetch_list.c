/* SPDX-License-Identifier: MIT */
/* Lists for --prefetch: whatever one says, paths are absolute and ranges lie within the
 * file, and each takes some of the line, so that there is an end. */
#include "supervisor/prefetch_list.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_entry(const char *entry, off_t size) {
  off_t offset, length;
  const char *path = cw_prefetch_list_path(entry);
  assert(!path || (*path == '/' && path > entry && path < entry + strlen(entry)));
  assert(!strchr(entry, '\n'));
  for (const char *at = entry, *before = at;; before = at) {
    bool more = cw_prefetch_list_next(&at, size, &offset, &length);
    assert(at >= before && at <= entry + strlen(entry));
    if (!more) break;
    assert(at > before);
    assert(offset >= 0 && length > 0 && offset < size && length <= size - offset);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const off_t sizes[] = {0, 1, 4096, INT64_C(1) << 40, INT64_MAX};
  cw_prefetch_list_t list;
  char *text = malloc(size + 1);
  if (!text) abort();
  memcpy(text, data, size);
  text[size] = '\0';
  if (cw_prefetch_list_init(&list, text) != 0) abort();
  for (size_t i = 0; i < list.n; i++)
    for (size_t k = 0; k < CW_ARRAY_LEN(sizes); k++)
      check_entry(list.lines[i], sizes[k]);
  cw_prefetch_list_fini(&list);
  free(text);
  return 0;
}
