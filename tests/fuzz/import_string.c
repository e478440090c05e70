/* SPDX-License-Identifier: MIT */
/* App references: the parts are parts of the text, and together they are all of it. */
#include "base/import_string.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  cw_import_string_t ref;
  cw_span_t name;
  char *text = malloc(size + 1);
  if (!text) abort();
  memcpy(text, data, size);
  text[size] = '\0';
  size_t len = strlen(text), names = 0;
  const char *wrong = cw_import_string_split(text, &ref);
  assert(ref.module.p == text && ref.module.len + ref.attr.len + !ref.bare == len);
  assert(!memchr(ref.module.p, ':', ref.module.len));
  assert(wrong || ref.module.len > 0);
  assert(wrong || ref.bare || ref.attr.len > 0);
  while (cw_import_string_next(&ref.attr, &name)) {
    assert(!memchr(name.p, '.', name.len) && name.p + name.len <= text + len);
    names += name.len + 1;
  }
  assert(names <= len + 1);
  free(text);
  return 0;
}
