/* SPDX-License-Identifier: MIT */
/* What both sides of a WebSocket do, under the lock of its request. */
#include "http/ws_socket.h"

#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "http/out.h"

#define ANY (SIZE_MAX / 4) /* bytes of a message: no limit */

cw_ws_t *cw_ws_new(cw_service_t *service, const cw_ws_terms_t *terms) {
  cw_ws_t *ws = cw_calloc(1, sizeof(*ws));
  if (!ws) return NULL;
  ws->last = &ws->first;
  cw_ws_deflate_init(&ws->deflate, &service->ws_stock, terms);
  cw_ws_reader_init(&ws->reader,
                    service->limits.ws_size ? service->limits.ws_size : ANY,
                    terms->agreed ? &ws->deflate : NULL);
  return ws;
}

void cw_ws_free(cw_ws_t *ws) {
  cw_ws_drop_locked(ws);
  cw_ws_reader_fini(&ws->reader);
  cw_ws_deflate_fini(&ws->deflate);
  free(ws->reason);
  free(ws);
}

void cw_ws_drop_locked(cw_ws_t *ws) {
  while (ws->first) {
    cw_ws_data_t *next = ws->first->next;
    free(ws->first);
    ws->first = next;
  }
  ws->last = &ws->first;
  ws->queued = 0;
  ws->queued_bytes = 0;
}

void cw_ws_rouse_locked(cw_req_t *req) {
  if (req->waiting) cw_req_rouse_locked(req);
}

int cw_ws_put_locked(cw_req_t *req, cw_ws_opcode_t opcode, bool compressed,
                     const char *p, size_t n) {
  char head[CW_WS_HEAD_MAX];
  const cw_parts_t parts = {
      .before = {head, cw_ws_frame_head(head, opcode, compressed, n)},
      .body = {p, n},
      .after = {"", 0}};
  return cw_out_put_locked(req, &parts);
}

void cw_ws_put_close_locked(cw_req_t *req, int code, const char *reason, size_t n) {
  char payload[CW_WS_CONTROL_MAX];
  if (req->ws->close_sent) return;
  req->ws->close_sent = true;
  payload[0] = (char)(code >> 8);
  payload[1] = (char)(code & 0xff);
  if (n) memcpy(payload + 2, reason, n);
  /* A client that is lost needs no close: whoever sees that ends the connection. */
  (void)cw_ws_put_locked(req, CW_WS_OP_CLOSE, false, payload,
                         code == CW_WS_NO_CODE ? 0 : n + 2);
}

void cw_ws_note_closed_locked(cw_req_t *req, int code, const char *reason, size_t n) {
  cw_ws_t *ws = req->ws;
  if (!ws->closed) {
    ws->closed = true;
    ws->code = (uint16_t)code;
    /* Without memory the code alone is told. */
    ws->reason = n ? cw_malloc(n) : NULL;
    ws->reason_len = ws->reason ? (uint8_t)n : 0;
    if (ws->reason) memcpy(ws->reason, reason, n);
  }
  if (req->waiting || req->watched) cw_req_rouse_locked(req);
}
