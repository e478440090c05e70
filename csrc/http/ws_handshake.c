/* SPDX-License-Identifier: MIT */
/* What a client's handshake asks for, and the answer to it. */
#include "http/ws_handshake.h"

#include <stdio.h>
#include <string.h>

#include "http/checks.h"

enum {
  KEY_LEN = 24,     /* 16 bytes in base64 */
  OWN_BITS = 12,    /* windows that are kept between messages: 4 KiB, */
  WHOLE_BITS = 15,  /* and others */
  LEAST_DEFLATE = 9 /* zlib makes no raw stream with a window of 256 bytes */
};

/* ---- Sec-WebSocket-Accept ----------------------------------------------------- */

static uint32_t rotate(uint32_t v, unsigned n) {
  return v << n | v >> (32 - n);
}

/* One block of SHA-1 (RFC 3174 section 6.1). */
static void sha1_block(uint32_t h[5], const unsigned char *p) {
  static const uint32_t k[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
  uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
  for (unsigned t = 0; t < 16; t++, p += 4)
    w[t] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           (uint32_t)p[3];
  for (unsigned t = 16; t < 80; t++)
    w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
  for (unsigned t = 0; t < 80; t++) {
    uint32_t f = t < 20              ? (b & c) | (~b & d)
                 : t >= 40 && t < 60 ? (b & c) | (b & d) | (c & d)
                                     : b ^ c ^ d;
    uint32_t next = rotate(a, 5) + f + e + w[t] + k[t / 20];
    e = d;
    d = c;
    c = rotate(b, 30);
    b = a;
    a = next;
  }
  h[0] += a;
  h[1] += b;
  h[2] += c;
  h[3] += d;
  h[4] += e;
}

/* SHA-1 of a text that leaves room for its end in two blocks. */
static void sha1(const char *text, size_t n, unsigned char out[20]) {
  uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  unsigned char blocks[128] = {0};
  memcpy(blocks, text, n);
  blocks[n] = 0x80;
  blocks[126] = (unsigned char)(n >> 5); /* bits */
  blocks[127] = (unsigned char)(n << 3);
  sha1_block(h, blocks);
  sha1_block(h, blocks + 64);
  for (unsigned i = 0; i < 20; i++)
    out[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static const char base64[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The one field of this name; NULL where there is none or several. */
static const cw_field_t *only(const cw_head_t *h, const char *name) {
  const cw_field_t *found = NULL;
  for (unsigned i = 0; i < h->n_fields; i++) {
    if (!cw_span_is(h->fields[i].name, name)) continue;
    if (found) return NULL;
    found = &h->fields[i];
  }
  return found;
}

void cw_ws_accept_value(const cw_head_t *h, char out[CW_WS_ACCEPT_LEN]) {
  static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  const cw_field_t *key = only(h, "sec-websocket-key");
  char text[KEY_LEN + sizeof(guid) - 1];
  unsigned char hash[21];
  memcpy(text, key->value.p, KEY_LEN);
  memcpy(text + KEY_LEN, guid, sizeof(guid) - 1);
  sha1(text, sizeof(text), hash);
  hash[20] = 0;
  for (unsigned i = 0; i < 7; i++) {
    unsigned v = (unsigned)hash[3 * i] << 16 | (unsigned)hash[3 * i + 1] << 8 |
                 (unsigned)hash[3 * i + 2];
    for (unsigned j = 0; j < 4; j++) out[4 * i + j] = base64[v >> (18 - 6 * j) & 63];
  }
  out[CW_WS_ACCEPT_LEN - 1] = '='; /* 20 bytes are two short of 21 */
}

/* ---- the handshake -------------------------------------------------------------- */

static bool any_has(const cw_head_t *h, const char *name, const char *word) {
  for (unsigned i = 0; i < h->n_fields; i++)
    if (cw_span_is(h->fields[i].name, name) && cw_list_has(h->fields[i].value, word))
      return true;
  return false;
}

/* Whether these are 16 bytes in base64. */
static bool is_key(cw_span_t key) {
  if (key.len != KEY_LEN || memcmp(key.p + KEY_LEN - 2, "==", 2) != 0) return false;
  for (unsigned i = 0; i < KEY_LEN - 2; i++)
    if (!key.p[i] || !strchr(base64, key.p[i])) return false;
  return true;
}

int cw_ws_check_handshake(const cw_head_t *h) {
  cw_ws_terms_t terms;
  /* RFC 9110 section 7.8: Upgrade counts with Connection, and from 1.1 on. */
  if (h->minor == 0 || !any_has(h, "upgrade", "websocket") ||
      !any_has(h, "connection", "upgrade"))
    return 0;
  if (h->method.len != 3 || memcmp(h->method.p, "GET", 3) != 0) return 400;
  if (h->chunked || h->content_length > 0) return 400;
  const cw_field_t *version = only(h, "sec-websocket-version");
  if (!version) return 400;
  if (!cw_span_is(version->value, "13")) return 426; /* section 4.4 */
  const cw_field_t *key = only(h, "sec-websocket-key");
  if (!key || !is_key(key->value)) return 400;
  return cw_ws_negotiate(h, CW_WS_COMPRESS_OFF, &terms) ? 101 : 400;
}

bool cw_ws_next_subprotocol(const cw_head_t *h, unsigned *field, size_t *at,
                            cw_span_t *out) {
  for (; *field < h->n_fields; (*field)++, *at = 0) {
    const cw_field_t *f = &h->fields[*field];
    if (!cw_span_is(f->name, "sec-websocket-protocol")) continue;
    while (*at < f->value.len) {
      const char *p = f->value.p + *at, *comma = memchr(p, ',', f->value.len - *at);
      size_t n = comma ? (size_t)(comma - p) : f->value.len - *at;
      *at += n + 1;
      *out = cw_trim((cw_span_t){p, n});
      if (cw_is_token(*out)) return true;
    }
  }
  return false;
}

/* ---- extensions (section 9.1; RFC 7692 section 7.1) -------------------- */

/* A Sec-WebSocket-Extensions field as it is read. */
typedef struct reader {
  const char *p, *end;
} reader_t;

/* Whether the next byte behind blanks is `c`; it is used then. */
static bool take(reader_t *r, char c) {
  while (r->p < r->end && (*r->p == ' ' || *r->p == '\t')) r->p++;
  if (r->p == r->end || *r->p != c) return false;
  r->p++;
  return true;
}

static bool at_end(reader_t *r) {
  while (r->p < r->end && (*r->p == ' ' || *r->p == '\t')) r->p++;
  return r->p == r->end;
}

static bool take_token(reader_t *r, cw_span_t *out) {
  if (at_end(r)) return false;
  const char *start = r->p;
  while (r->p < r->end && cw_is_token_byte((unsigned char)*r->p)) r->p++;
  *out = (cw_span_t){start, (size_t)(r->p - start)};
  return out->len > 0;
}

/* A value may be quoted, but is a token all the same. No token that means something
 * has an escape in it. */
static bool take_value(reader_t *r, cw_span_t *out) {
  if (!take(r, '"')) return take_token(r, out);
  const char *start = r->p;
  while (r->p < r->end && (cw_is_token_byte((unsigned char)*r->p) ||
                           (*r->p == '\\' && r->p + 1 < r->end)))
    r->p++;
  *out = (cw_span_t){start, (size_t)(r->p - start)};
  if (r->p == r->end || *r->p != '"') return false;
  r->p++;
  return out->len > 0;
}

/* What an offer of permessage-deflate says. */
typedef struct offer {
  bool good; /* it is one, and as RFC 7692 has it */
  bool server_fresh, client_fresh, server_bits_given, client_bits_given;
  uint8_t server_bits, client_bits;
} offer_t;

/* 8 to 15, in decimal without a zero in front; 0: none of these. */
static uint8_t window_bits(cw_span_t v) {
  if (v.len == 1 && (v.p[0] == '8' || v.p[0] == '9')) return (uint8_t)(v.p[0] - '0');
  if (v.len == 2 && v.p[0] == '1' && v.p[1] >= '0' && v.p[1] <= '5')
    return (uint8_t)(10 + v.p[1] - '0');
  return 0;
}

/* Sets what may be said once. */
static bool set(bool *flag) {
  bool fresh = !*flag;
  *flag = true;
  return fresh;
}

/* Whether the offer may have this parameter. */
static bool note(offer_t *o, cw_span_t name, bool has_value, cw_span_t value) {
  if (cw_span_is(name, "server_no_context_takeover"))
    return set(&o->server_fresh) && !has_value;
  if (cw_span_is(name, "client_no_context_takeover"))
    return set(&o->client_fresh) && !has_value;
  uint8_t bits = has_value ? window_bits(value) : 0;
  if (cw_span_is(name, "server_max_window_bits")) {
    o->server_bits = bits;
    return set(&o->server_bits_given) && bits;
  }
  if (cw_span_is(name, "client_max_window_bits")) {
    o->client_bits = bits;
    return set(&o->client_bits_given) && (bits || !has_value);
  }
  return false;
}

/* One extension with its parameters. Returns false where it is malformed. */
static bool read_offer(reader_t *r, offer_t *o) {
  cw_span_t name, value = {"", 0};
  *o = (offer_t){false};
  if (!take_token(r, &name)) return false;
  o->good = cw_span_is(name, "permessage-deflate");
  while (take(r, ';')) {
    if (!take_token(r, &name)) return false;
    bool has_value = take(r, '=');
    if (has_value && !take_value(r, &value)) return false;
    o->good = o->good && note(o, name, has_value, value);
  }
  return true;
}

/* Whether the offer can be met, and how. */
static bool meet(const offer_t *o, cw_ws_compression_t how, cw_ws_terms_t *t) {
  if (!o->good || how == CW_WS_COMPRESS_OFF) return false;
  bool keeps = how == CW_WS_COMPRESS_CONTEXT;
  uint8_t most = keeps ? OWN_BITS : WHOLE_BITS;
  t->own_bits = o->server_bits_given ? CW_MIN(o->server_bits, most) : most;
  if (t->own_bits < LEAST_DEFLATE) return false;
  t->own_fresh = !keeps || o->server_fresh;
  /* RFC 7692 section 7.1.1.2: this may be asked of every client, a smaller window only
   * of one that offers it. */
  t->their_fresh = !keeps || o->client_fresh;
  t->their_bits = WHOLE_BITS;
  if (o->client_bits_given && keeps)
    t->their_bits = o->client_bits ? CW_MIN(o->client_bits, most) : most;
  return t->agreed = true;
}

bool cw_ws_negotiate(const cw_head_t *h, cw_ws_compression_t how,
                     cw_ws_terms_t *terms) {
  *terms = (cw_ws_terms_t){.agreed = false};
  for (unsigned i = 0; i < h->n_fields; i++) {
    const cw_field_t *f = &h->fields[i];
    if (!cw_span_is(f->name, "sec-websocket-extensions")) continue;
    reader_t r = {f->value.p, f->value.p + f->value.len};
    while (!at_end(&r)) {
      offer_t offer;
      if (take(&r, ',')) continue; /* RFC 9110 section 5.6.1: an empty element */
      if (!read_offer(&r, &offer)) return false;
      if (!at_end(&r) && !take(&r, ',')) return false;
      if (!terms->agreed) (void)meet(&offer, how, terms);
    }
  }
  return true;
}

void cw_ws_answer(const cw_ws_terms_t *t, char out[CW_WS_ANSWER_MAX]) {
  char server[32] = "", client[32] = "";
  out[0] = '\0';
  if (!t->agreed) return;
  if (t->own_bits < WHOLE_BITS)
    snprintf(server, sizeof(server), "; server_max_window_bits=%d", t->own_bits);
  if (t->their_bits < WHOLE_BITS)
    snprintf(client, sizeof(client), "; client_max_window_bits=%d", t->their_bits);
  snprintf(out, CW_WS_ANSWER_MAX, "permessage-deflate%s%s%s%s",
           t->own_fresh ? "; server_no_context_takeover" : "",
           t->their_fresh ? "; client_no_context_takeover" : "", server, client);
}
