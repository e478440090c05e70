/* SPDX-License-Identifier: MIT */
/* Raw deflate streams: each message ends in an empty block, which is not sent (RFC 7692
 * section 7.2.1). */
#include "http/ws_deflate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/fault.h"

enum {
  LEVEL = 1, /* others take several times as long for a tenth less */
  WHOLE_WINDOW = 15,
  WHOLE_MEMORY = 8,
  KEPT_MEMORY = 5,  /* of states that sockets keep: 32 KiB with a window of 4 KiB */
  FRESH_LEAST = 64, /* bytes: what begins without a context gains nothing below */
  KEPT_LEAST = 16,
  BLOCK_ENDS = 128, /* zlib's sign in data_type */
};

static const char tail[4] = {'\0', '\0', '\xff', '\xff'};

/* ---- states --------------------------------------------------------------------- */

static voidpf allocate(voidpf opaque, uInt n, uInt size) {
  return cw_malloc((size_t)n * size);
}
static void release(voidpf opaque, voidpf p) {
  free(p);
}

static z_stream *new_stream(void) {
  z_stream *s = cw_calloc(1, sizeof(*s));
  if (!s) return NULL;
  s->zalloc = allocate;
  s->zfree = release;
  return s;
}

static z_stream *new_deflate(int bits, int memory) {
  z_stream *s = new_stream();
  if (s &&
      deflateInit2(s, LEVEL, Z_DEFLATED, -bits, memory, Z_DEFAULT_STRATEGY) == Z_OK)
    return s;
  free(s);
  return NULL;
}

static z_stream *new_inflate(int bits) {
  z_stream *s = new_stream();
  if (s && inflateInit2(s, -bits) == Z_OK) return s;
  free(s);
  return NULL;
}

static void free_deflate(z_stream *s) {
  if (s) (void)deflateEnd(s);
  free(s);
}

static void free_inflate(z_stream *s) {
  if (s) (void)inflateEnd(s);
  free(s);
}

void cw_ws_stock_init(cw_ws_stock_t *stock) {
  *stock = (cw_ws_stock_t){.deflate = NULL};
  pthread_mutex_init(&stock->lock, NULL);
}

void cw_ws_stock_fini(cw_ws_stock_t *stock) {
  free_deflate(stock->deflate);
  free_inflate(stock->inflate);
  pthread_mutex_destroy(&stock->lock);
}

/* Puts `s` into a place of the stock. Returns what was there. */
static z_stream *swap(cw_ws_stock_t *stock, z_stream **place, z_stream *s) {
  pthread_mutex_lock(&stock->lock);
  z_stream *was = *place;
  *place = s;
  pthread_mutex_unlock(&stock->lock);
  return was;
}

void cw_ws_deflate_init(cw_ws_deflate_t *d, cw_ws_stock_t *stock,
                        const cw_ws_terms_t *terms) {
  *d = (cw_ws_deflate_t){.stock = stock, .terms = *terms};
}

void cw_ws_deflate_fini(cw_ws_deflate_t *d) {
  free_deflate(d->out);
  free_inflate(d->in);
  d->out = d->in = NULL;
}

/* ---- sending ----------------------------------------------------------- */

bool cw_ws_deflate_pays(const cw_ws_deflate_t *d, size_t n) {
  return d->terms.agreed && n >= (d->terms.own_fresh ? FRESH_LEAST : KEPT_LEAST);
}

/* States of the stock have the largest window. */
static bool is_common(const cw_ws_deflate_t *d) {
  return d->terms.own_fresh && d->terms.own_bits == WHOLE_WINDOW;
}

static bool begin_out(cw_ws_deflate_t *d) {
  if (!d->out && is_common(d)) d->out = swap(d->stock, &d->stock->deflate, NULL);
  if (!d->out)
    d->out =
        new_deflate(d->terms.own_bits, d->terms.own_fresh ? WHOLE_MEMORY : KEPT_MEMORY);
  return d->out;
}

static void end_out(cw_ws_deflate_t *d) {
  z_stream *s = d->out;
  if (!d->terms.own_fresh) return;
  d->out = NULL;
  if (is_common(d) && deflateReset(s) == Z_OK)
    s = swap(d->stock, &d->stock->deflate, s);
  free_deflate(s);
}

int cw_ws_deflate(cw_ws_deflate_t *d, const char *p, size_t n, cw_buf_t *out) {
  char piece[16 * 1024];
  const uInt most = 1u << 30; /* zlib counts in 32 bits */
  int rc = 0;
  if (!begin_out(d)) return -1;
  z_stream *s = d->out;
  s->next_in = cw_unconst(p);
  do {
    s->avail_in = (uInt)CW_MIN(n, (size_t)most);
    n -= s->avail_in;
    do {
      s->next_out = (Bytef *)piece;
      s->avail_out = sizeof(piece);
      int z = deflate(s, n ? Z_NO_FLUSH : Z_SYNC_FLUSH);
      assert(z == Z_OK || z == Z_BUF_ERROR);
      (void)z;
      if (rc == 0) rc = cw_buf_append(out, piece, sizeof(piece) - s->avail_out);
    } while (s->avail_out == 0);
  } while (n);
  if (rc == 0) {
    assert(cw_buf_pending(out) >= sizeof(tail));
    out->len -= sizeof(tail);
  }
  end_out(d);
  return rc;
}

/* ---- receiving --------------------------------------------------------- */

static bool begin_in(cw_ws_deflate_t *d) {
  if (!d->in && d->terms.their_fresh) d->in = swap(d->stock, &d->stock->inflate, NULL);
  if (!d->in)
    d->in = new_inflate(d->terms.their_fresh ? WHOLE_WINDOW : d->terms.their_bits);
  return d->in;
}

static void end_in(cw_ws_deflate_t *d) {
  z_stream *s = d->in;
  if (!d->terms.their_fresh) return;
  d->in = NULL;
  d->ended = false;
  if (inflateReset(s) == Z_OK) s = swap(d->stock, &d->stock->inflate, s);
  free_inflate(s);
}

/* Section 7.2.3.4: a client may end a stream in the middle of a message, and goes on
 * with another one and the same window. */
static bool restart(cw_ws_deflate_t *d) {
  Bytef window[1 << WHOLE_WINDOW];
  uInt n = 0;
  d->ended = false;
  return inflateGetDictionary(d->in, window, &n) == Z_OK &&
         inflateReset(d->in) == Z_OK && inflateSetDictionary(d->in, window, n) == Z_OK;
}

/* Room for what may come of `n` bytes, but never for much more than may come at all. */
static bool make_room(cw_ws_data_t **data, size_t n, size_t most) {
  enum { LEAST = 256 };
  size_t len = *data ? (*data)->len : 0;
  if (*data && (*data)->cap > len) return true;
  size_t want = CW_MIN(CW_MAX(3 * n, (size_t)LEAST), most + 1 - len);
  cw_ws_data_t *grown = cw_ws_data_reserve(*data, want, most + 1);
  if (grown) *data = grown;
  return grown;
}

static cw_ws_inflated_t expand(cw_ws_deflate_t *d, const char *p, size_t n,
                               cw_ws_data_t **data, size_t most) {
  z_stream *s = d->in;
  s->next_in = cw_unconst(p);
  s->avail_in = (uInt)n;
  for (;;) {
    if (!make_room(data, s->avail_in, most)) return CW_WS_INFLATE_NOMEM;
    cw_ws_data_t *m = *data;
    size_t room = CW_MIN(m->cap - m->len, (size_t)1 << 30);
    if (d->ended && s->avail_in && !restart(d)) return CW_WS_INFLATE_BROKEN;
    s->next_out = (Bytef *)m->bytes + m->len;
    s->avail_out = (uInt)room;
    int z = inflate(s, Z_SYNC_FLUSH);
    m->len += room - s->avail_out;
    if (m->len > most) return CW_WS_INFLATE_TOO_LONG;
    d->ended = z == Z_STREAM_END;
    if (z == Z_MEM_ERROR) return CW_WS_INFLATE_NOMEM;
    if (z == Z_BUF_ERROR) break;
    if (z != Z_OK && z != Z_STREAM_END) return CW_WS_INFLATE_BROKEN;
    if (s->avail_out && !s->avail_in) break;
  }
  return CW_WS_INFLATED;
}

cw_ws_inflated_t cw_ws_inflate(cw_ws_deflate_t *d, const char *p, size_t n, bool last,
                               cw_ws_data_t **data, size_t most) {
  if (!begin_in(d)) return CW_WS_INFLATE_NOMEM;
  cw_ws_inflated_t rc = expand(d, p, n, data, most);
  if (rc != CW_WS_INFLATED || !last) return rc;
  if (!d->ended) {
    rc = expand(d, tail, sizeof(tail), data, most);
    /* The tail ends a block, or the message was cut short in one. */
    if (rc == CW_WS_INFLATED && !(d->in->data_type & BLOCK_ENDS))
      rc = CW_WS_INFLATE_BROKEN;
  }
  if (rc == CW_WS_INFLATED) end_in(d);
  return rc;
}
