/* SPDX-License-Identifier: MIT */
/* 103 Early Hints (RFC 8297): an interim response from the thread that runs the
 * request.
 */
#include <string.h>

#include "http/checks.h"
#include "http/out.h"

int cw_resp_early_hints(cw_req_t *req, const cw_field_t *fields, unsigned n) {
  static const char line[] = "HTTP/1.1 103 Early Hints\r\n";
  cw_buf_t text = {0};
  int rc = CW_NOMEM;
  /* RFC 9110 section 15.2: a 1.0 client does not know interim responses. */
  if (req->resp.sent || req->head.minor == 0) return CW_OK;
  if (cw_buf_append(&text, line, sizeof(line) - 1) != 0) goto done;
  for (unsigned i = 0; i < n; i++) {
    if (!cw_is_token(fields[i].name) || !cw_is_value(fields[i].value)) {
      rc = CW_BAD;
      goto done;
    }
    if (cw_buf_append(&text, fields[i].name.p, fields[i].name.len) != 0 ||
        cw_buf_append(&text, ": ", 2) != 0 ||
        cw_buf_append(&text, fields[i].value.p, fields[i].value.len) != 0 ||
        cw_buf_append(&text, "\r\n", 2) != 0)
      goto done;
  }
  if (cw_buf_append(&text, "\r\n", 2) != 0) goto done;
  rc = cw_out_send_interim(req, (cw_span_t){text.p, text.len});
done:
  cw_buf_free(&text);
  return rc;
}
