/* SPDX-License-Identifier: MIT */
/* Pieces of frames become messages. */
#include "http/ws_message.h"

#include <stdlib.h>
#include <string.h>

#include "base/fault.h"

enum {
  NO_CODE = 1005,
  PROTOCOL = 1002,
  NOT_UTF8 = 1007,
  TOO_LONG = 1009,
  INTERNAL = 1011,
  AT_ONCE = 64 * 1024, /* bytes: memory for a whole frame is taken before it is there */
};

void cw_ws_reader_init(cw_ws_reader_t *r, size_t most, cw_ws_deflate_t *deflate) {
  *r = (cw_ws_reader_t){.most = most, .deflate = deflate};
  r->frames.may_compress = deflate != NULL;
}

void cw_ws_reader_fini(cw_ws_reader_t *r) {
  free(r->data);
  free(r->control);
  r->data = NULL;
  r->control = NULL;
}

static void broken(cw_ws_item_t *item, int code, const char *why) {
  item->what = CW_WS_BROKEN;
  item->code = code;
  item->why = why;
}

/* ---- messages -------------------------------------------------------------------- */

/* The payload from `from` on has come. Returns whether it may. */
static bool check_text(cw_ws_reader_t *r, size_t from, cw_ws_item_t *item) {
  const cw_ws_data_t *m = r->data;
  if (cw_ws_utf8_feed(&r->utf8, m->bytes + from, m->len - from)) return true;
  broken(item, NOT_UTF8, "a text that is not UTF-8");
  return false;
}

static bool add_plain(cw_ws_reader_t *r, const cw_ws_piece_t *piece,
                      cw_ws_item_t *item) {
  size_t len = r->data ? r->data->len : 0, n = piece->masked.len;
  /* The head of a frame is enough to tell. */
  if (piece->left + n > r->most - len) {
    broken(item, TOO_LONG, "a message longer than --ws-max-size");
    return false;
  }
  size_t want = n + (size_t)CW_MIN(piece->left, (uint64_t)AT_ONCE);
  cw_ws_data_t *grown = cw_ws_data_reserve(r->data, want, r->most);
  if (!grown) {
    broken(item, INTERNAL, "no memory for a message");
    return false;
  }
  r->data = grown;
  cw_ws_unmask(grown->bytes + len, piece->masked.p, n, piece->key, piece->phase);
  grown->len += n;
  return piece->opcode != CW_WS_OP_TEXT || check_text(r, len, item);
}

/* Expands unmasked bytes of a message. */
static bool add_expanded(cw_ws_reader_t *r, const char *p, size_t n, bool last,
                         bool text, cw_ws_item_t *item) {
  size_t len = r->data ? r->data->len : 0;
  switch (cw_ws_inflate(r->deflate, p, n, last, &r->data, r->most)) {
    case CW_WS_INFLATED: return !text || check_text(r, len, item);
    case CW_WS_INFLATE_TOO_LONG:
      /* What is not text counts before what is too long, but both are wrong. */
      broken(item, TOO_LONG, "a message longer than --ws-max-size");
      break;
    case CW_WS_INFLATE_NOMEM: broken(item, INTERNAL, "no memory for a message"); break;
    default: broken(item, NOT_UTF8, "a message that cannot be expanded"); break;
  }
  return false;
}

static bool add_compressed(cw_ws_reader_t *r, const cw_ws_piece_t *piece,
                           cw_ws_item_t *item) {
  char plain[4096];
  bool text = piece->opcode == CW_WS_OP_TEXT;
  size_t at = 0;
  do {
    size_t n = CW_MIN(piece->masked.len - at, sizeof(plain));
    cw_ws_unmask(plain, piece->masked.p + at, n, piece->key,
                 (unsigned)((piece->phase + at) & 3));
    at += n;
    bool last = piece->ends && at == piece->masked.len;
    if (!add_expanded(r, plain, n, last, text, item)) return false;
  } while (at < piece->masked.len);
  return true;
}

static void add(cw_ws_reader_t *r, const cw_ws_piece_t *piece, cw_ws_item_t *item) {
  if (!(piece->compressed ? add_compressed(r, piece, item) : add_plain(r, piece, item)))
    return;
  if (!piece->ends) return;
  if (!cw_ws_utf8_is_whole(&r->utf8)) {
    broken(item, NOT_UTF8, "a text that ends in the middle of a character");
    return;
  }
  r->data->text = piece->opcode == CW_WS_OP_TEXT;
  item->what = CW_WS_MESSAGE;
  item->message = r->data;
  r->data = NULL;
}

/* ---- control frames ---------------------------------------------------- */

/* Section 5.5.1: a code, and a reason in UTF-8. */
static void read_close(cw_ws_item_t *item) {
  cw_ws_utf8_t utf8 = {0};
  item->what = CW_WS_CLOSE;
  item->code = NO_CODE;
  if (item->control_len == 0) return;
  int code = item->control_len < 2 ? 0
                                   : (unsigned char)item->control[0] << 8 |
                                         (unsigned char)item->control[1];
  if (!cw_ws_is_code(code)) {
    broken(item, PROTOCOL, "a close with a code that may not be sent");
    return;
  }
  item->code = code;
  item->control_len = (uint8_t)(item->control_len - 2);
  memmove(item->control, item->control + 2, item->control_len);
  if (!cw_ws_utf8_feed(&utf8, item->control, item->control_len) ||
      !cw_ws_utf8_is_whole(&utf8))
    broken(item, NOT_UTF8, "a close whose reason is not UTF-8");
}

/* A control frame is handed on whole; memory is only needed where it comes in pieces.
 */
static void add_control(cw_ws_reader_t *r, const cw_ws_piece_t *piece,
                        cw_ws_item_t *item) {
  char *to = item->control;
  if (r->control || !piece->ends) {
    if (!r->control) r->control = cw_malloc(CW_WS_CONTROL_MAX);
    if (!r->control) {
      broken(item, INTERNAL, "no memory for a control frame");
      return;
    }
    to = r->control;
  }
  cw_ws_unmask(to + r->control_len, piece->masked.p, piece->masked.len, piece->key,
               piece->phase);
  r->control_len = (uint8_t)(r->control_len + piece->masked.len);
  if (!piece->ends) return;
  if (r->control) memcpy(item->control, r->control, r->control_len);
  item->control_len = r->control_len;
  free(r->control);
  r->control = NULL;
  r->control_len = 0;
  if (piece->opcode == CW_WS_OP_CLOSE)
    read_close(item);
  else
    item->what = piece->opcode == CW_WS_OP_PING ? CW_WS_PING : CW_WS_PONG;
}

size_t cw_ws_reader_next(cw_ws_reader_t *r, const char *p, size_t n,
                         cw_ws_item_t *item) {
  size_t used = 0;
  item->what = CW_WS_NOTHING;
  item->control_len = 0;
  while (used < n && item->what == CW_WS_NOTHING) {
    cw_ws_piece_t piece;
    const char *why;
    ssize_t k = cw_ws_frames_next(&r->frames, p + used, n - used, &piece, &why);
    if (k < 0) {
      broken(item, PROTOCOL, why);
      return n;
    }
    used += (size_t)k;
    if (!piece.opcode) continue;
    if (cw_ws_is_control(piece.opcode))
      add_control(r, &piece, item);
    else
      add(r, &piece, item);
  }
  return used;
}
