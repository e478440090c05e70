/* SPDX-License-Identifier: MIT */
/* What configuration files and variables say, and the texts that settings hold: taken
 * or refused with a reason, never more. */
#include "base/options.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/access_format.h"
#include "base/statsd.h"
#include "base/syslog.h"

enum { ERR = 128 };

static void check_reason(int rc, const char *err) {
  assert(rc == 0 || (err[0] && strlen(err) < ERR));
}

/* Settings from `text`; what was taken must survive packing. */
static void read_settings(const char *text, size_t len, bool variable) {
  cw_settings_t a, b;
  cw_buf_t packed = {0};
  char err[ERR] = "";
  if (cw_settings_init(&a) != 0 || cw_settings_init(&b) != 0) abort();
  if (variable) setenv("CWSGI_CMD_ARGS", text, 1);
  int rc = variable ? cw_settings_read_cmd_args(&a, err, sizeof(err))
                    : cw_settings_read_file(&a, text, len, err, sizeof(err));
  check_reason(rc, err);
  if (rc == 0) {
    if (cw_settings_pack(&a, &packed) != 0) abort();
    if (cw_settings_unpack(&b, packed.p, packed.len) != 0) abort();
    for (int i = 0; i < CW_OPT_COUNT; i++)
      assert(a.v[i].num == b.v[i].num && a.v[i].n_items == b.v[i].n_items);
  }
  cw_buf_free(&packed);
  cw_settings_fini(&a);
  cw_settings_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char err[ERR] = "";
  if (size == 0) return 0;
  char *text = malloc(size);
  if (!text) abort();
  memcpy(text, data + 1, size - 1);
  text[size - 1] = '\0';
  switch (data[0] % 5) {
    case 0: read_settings(text, size, false); break;
    case 1: read_settings(text, size, true); break;
    case 2: check_reason(cw_access_format_check(text, err, sizeof(err)), err); break;
    case 3: check_reason(cw_statsd_check(text, err, sizeof(err)), err); break;
    default: check_reason(cw_syslog_check(text, "user", err, sizeof(err)), err); break;
  }
  free(text);
  return 0;
}
