/* SPDX-License-Identifier: MIT */
/* What a WebSocket client sends: the same bytes in any pieces give the same messages,
 * control frames and end. The first byte is the size of the pieces, the second one says
 * whether compression was agreed on. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "http/ws_message.h"

enum { MOST = 64 * 1024 };

/* All that came of one reading, hashed. */
typedef struct result {
  uint64_t hash;
  int end; /* code of a close or of what is broken; 0: neither */
  unsigned items;
} result_t;

static cw_ws_stock_t stock;

static void note(result_t *r, const void *p, size_t n) {
  const unsigned char *bytes = p;
  for (size_t i = 0; i < n; i++) r->hash = (r->hash ^ bytes[i]) * 0x100000001b3;
}

static bool is_utf8(const char *p, size_t n) {
  cw_ws_utf8_t u = {0};
  return cw_ws_utf8_feed(&u, p, n) && cw_ws_utf8_is_whole(&u);
}

/* Returns whether more may follow. */
static bool take(result_t *r, cw_ws_item_t *item) {
  const cw_ws_data_t *m = item->message;
  if (item->what == CW_WS_NOTHING) return true;
  r->items++;
  note(r, &item->what, sizeof(item->what));
  switch (item->what) {
    case CW_WS_MESSAGE:
      assert(m->len <= MOST && m->len <= m->cap);
      assert(!m->text || is_utf8(m->bytes, m->len));
      note(r, m->bytes, m->len);
      free(item->message);
      return true;
    case CW_WS_CLOSE:
      assert(item->code == 1005 ? item->control_len == 0 : cw_ws_is_code(item->code));
      assert(is_utf8(item->control, item->control_len));
      r->end = item->code;
      return false;
    case CW_WS_BROKEN:
      assert(item->why && cw_ws_is_code(item->code));
      r->end = item->code;
      return false;
    default:
      assert(item->control_len <= CW_WS_CONTROL_MAX);
      note(r, item->control, item->control_len);
      return true;
  }
}

static void read_by(const char *p, size_t n, size_t step, int how, result_t *r) {
  const cw_ws_terms_t terms = {true, how & 2, how & 4, 15, how & 8 ? 9 : 15};
  cw_ws_deflate_t deflate;
  cw_ws_reader_t reader;
  cw_ws_item_t item;
  *r = (result_t){.hash = 0};
  cw_ws_deflate_init(&deflate, &stock, &terms);
  cw_ws_reader_init(&reader, MOST, how & 1 ? &deflate : NULL);
  for (size_t at = 0; at < n;) {
    size_t k = cw_ws_reader_next(&reader, p + at, CW_MIN(step, n - at), &item);
    assert(k > 0);
    at += k;
    if (!take(r, &item)) break;
  }
  cw_ws_reader_fini(&reader);
  cw_ws_deflate_fini(&deflate);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static bool ready;
  result_t whole, steps;
  if (size < 3) return 0;
  if (!ready) cw_ws_stock_init(&stock);
  ready = true;
  const char *p = (const char *)data + 2;
  read_by(p, size - 2, size, data[1], &whole);
  read_by(p, size - 2, data[0] % 32 + 1, data[1], &steps);
  assert(whole.end == steps.end && whole.items == steps.items &&
         whole.hash == steps.hash);
  return 0;
}
