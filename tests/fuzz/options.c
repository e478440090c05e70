/* SPDX-License-Identifier: MIT */
/* Command lines and networks: whatever is taken survives packing unchanged. */
#include "base/options.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"

static void check_same(const cw_settings_t *a, const cw_settings_t *b) {
  for (int i = 0; i < CW_OPT_COUNT; i++) {
    assert(a->v[i].num == b->v[i].num && a->v[i].n_items == b->v[i].n_items);
    for (unsigned k = 0; k < a->v[i].n_items; k++)
      assert(strcmp(a->v[i].items[k], b->v[i].items[k]) == 0);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  cw_settings_t a, b;
  cw_buf_t packed = {0};
  cw_networks_t nets = {NULL, 0, false};
  cw_span_t bad;
  char err[128], *argv[32], *text = malloc(size + 1);
  int argc = 0;
  if (!text || cw_settings_init(&a) != 0 || cw_settings_init(&b) != 0) abort();
  memcpy(text, data, size);
  text[size] = '\0';
  for (size_t at = 0; at < size && argc < 32; at += strlen(text + at) + 1)
    argv[argc++] = text + at;
  if (cw_settings_read_args(&a, argc, argv, CW_FROM_ARGV, err, sizeof(err)) == 0) {
    if (cw_settings_pack(&a, &packed) != 0) abort();
    if (cw_settings_unpack(&b, packed.p, packed.len) != 0) abort();
    check_same(&a, &b);
  } else {
    assert(err[0] && strlen(err) < sizeof(err));
  }
  if (cw_networks_add(&nets, text, &bad) != 0)
    assert(bad.p >= text && bad.p <= text + size);
  cw_networks_free(&nets);
  cw_buf_free(&packed);
  cw_settings_fini(&a);
  cw_settings_fini(&b);
  free(text);
  return 0;
}
