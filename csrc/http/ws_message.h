/* SPDX-License-Identifier: MIT */
/* What a client sends, as messages and control frames: fragments joined, compression
 * undone, text checked, sizes kept (RFC 6455 sections 5.4 to 5.6, 7.4 and 8.1). No I/O.
 */
#ifndef CW_HTTP_WS_MESSAGE_H
#define CW_HTTP_WS_MESSAGE_H

#include "http/ws_deflate.h"
#include "http/ws_frame.h"
#include "http/ws_utf8.h"

typedef struct cw_ws_reader {
  cw_ws_frames_t frames;
  cw_ws_utf8_t utf8;
  uint8_t control_len;
  size_t most;              /* bytes of a message */
  cw_ws_data_t *data;       /* of the message that is coming; owned */
  cw_ws_deflate_t *deflate; /* borrowed; NULL: not agreed on */
  char *control;            /* of the control frame that is coming; owned */
} cw_ws_reader_t;

typedef enum cw_ws_what {
  CW_WS_NOTHING,
  CW_WS_MESSAGE,
  CW_WS_PING,
  CW_WS_PONG,
  CW_WS_CLOSE,
  CW_WS_BROKEN, /* the connection is to be failed: section 7.1.7 */
} cw_ws_what_t;

typedef struct cw_ws_item {
  cw_ws_what_t what;
  cw_ws_data_t *message; /* the caller's */
  int code;              /* of CLOSE, 1005 where it has none; to send, of BROKEN */
  const char *why;       /* of BROKEN, static */
  char control[CW_WS_CONTROL_MAX]; /* of PING and PONG, and the reason of CLOSE */
  uint8_t control_len;
} cw_ws_item_t;

/* `deflate` is NULL where it was not agreed on. */
void cw_ws_reader_init(cw_ws_reader_t *r, size_t most, cw_ws_deflate_t *deflate);
void cw_ws_reader_fini(cw_ws_reader_t *r);

/* Reads from `p` until there is an item or all bytes are used. Returns how many were.
 * After CLOSE and BROKEN nothing may follow. */
CW_MUSTCHECK size_t cw_ws_reader_next(cw_ws_reader_t *r, const char *p, size_t n,
                                      cw_ws_item_t *item);

#endif
