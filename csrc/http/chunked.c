/* SPDX-License-Identifier: MIT */
/* The chunked coding, one byte at a time outside of chunk data. */
#include "http/chunked.h"

#include "base/hex.h"
#include "http/checks.h"

enum {
  MAX_BITS = 60,           /* of a size: it cannot overflow */
  MAX_DIGITS = 128,        /* with the zeros that some put in front */
  MAX_OVERHEAD = 8 * 1024, /* extensions of one body, or its trailers */
  MAX_TRAILERS = 100,
};

enum state {
  SIZE,
  EXT_START, /* behind ';' */
  EXT_NAME,
  EXT_NAMED, /* behind a name and blanks */
  EXT_VALUE, /* behind '=' */
  EXT_TOKEN,
  EXT_QUOTED,
  EXT_ESCAPED, /* behind '\\' */
  EXT_END,     /* behind a closing quote */
  EXT_NEXT,    /* behind blanks that only another extension may follow */
  SIZE_LF,
  DATA,
  DATA_CR,
  DATA_LF,
  TRAILER_START,
  TRAILER_NAME,
  TRAILER_VALUE,
  TRAILER_LF,
  END_LF,
  DONE,
};

void cw_chunked_init(cw_chunked_t *c) {
  *c = (cw_chunked_t){.state = SIZE};
}

bool cw_chunked_done(const cw_chunked_t *c) {
  return c->state == DONE;
}

static bool is_extension(uint8_t state) {
  return state >= EXT_START && state <= EXT_NEXT;
}

static bool is_blank(unsigned char ch) {
  return ch == ' ' || ch == '\t';
}

/* One byte of chunk-ext: *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ]
 * ), RFC 9112 section 7.1.1. Blanks in front of the line's end are none of it. Returns
 * the next state, or -1. */
static int extension(uint8_t state, unsigned char ch) {
  switch (state) {
    case EXT_QUOTED:
      return ch == '"'              ? EXT_END
             : ch == '\\'           ? EXT_ESCAPED
             : cw_is_value_byte(ch) ? EXT_QUOTED
                                    : -1;
    case EXT_ESCAPED: return cw_is_value_byte(ch) ? EXT_QUOTED : -1;
    case EXT_START:
      return is_blank(ch) ? EXT_START : cw_is_token_byte(ch) ? EXT_NAME : -1;
    case EXT_NAMED:
      return is_blank(ch) ? EXT_NAMED
             : ch == '='  ? EXT_VALUE
             : ch == ';'  ? EXT_START
                          : -1;
    case EXT_VALUE:
      return is_blank(ch)           ? EXT_VALUE
             : ch == '"'            ? EXT_QUOTED
             : cw_is_token_byte(ch) ? EXT_TOKEN
                                    : -1;
    case EXT_NEXT: return is_blank(ch) ? EXT_NEXT : ch == ';' ? EXT_START : -1;
    default:
      if (ch == '\r') return SIZE_LF;
      if (ch == ';') return EXT_START;
      if (is_blank(ch)) return state == EXT_NAME ? EXT_NAMED : EXT_NEXT;
      if (ch == '=' && state == EXT_NAME) return EXT_VALUE;
      return state != EXT_END && cw_is_token_byte(ch) ? state : -1;
  }
}

static int become(cw_chunked_t *c, int state) {
  c->state = (uint8_t)state;
  return 0;
}

/* One byte of framing. Returns 0 or -1. */
static int step(cw_chunked_t *c, unsigned char ch) {
  if (is_extension(c->state)) {
    int next = extension(c->state, ch);
    if (next < 0 || ++c->overhead > MAX_OVERHEAD) return -1;
    c->state = (uint8_t)next;
    return 0;
  }
  switch (c->state) {
    case SIZE:
      if (cw_hex_value((char)ch) >= 0) {
        if (c->left >> (MAX_BITS - 4) || ++c->digits > MAX_DIGITS) return -1;
        c->left = c->left * 16 + (unsigned)cw_hex_value((char)ch);
        return 0;
      }
      if (c->digits == 0) return -1;
      if (ch == '\r') return become(c, SIZE_LF);
      if (ch == ';') return become(c, EXT_START);
      if (is_blank(ch)) return become(c, EXT_NEXT);
      return -1;
    case SIZE_LF:
      if (ch != '\n') return -1;
      c->state = c->left ? DATA : TRAILER_START;
      if (!c->left) c->overhead = 0;
      return 0;
    case DATA_CR: return ch == '\r' ? become(c, DATA_LF) : -1;
    case DATA_LF: c->digits = 0; return ch == '\n' ? become(c, SIZE) : -1;
    case TRAILER_START:
      if (ch == '\r') return become(c, END_LF);
      /* A line that starts with a blank would be obs-fold. */
      c->state = TRAILER_NAME;
      if (++c->trailers > MAX_TRAILERS) return -1;
      return cw_is_token_byte(ch) && ++c->overhead <= MAX_OVERHEAD ? 0 : -1;
    case TRAILER_NAME:
      if (ch == ':') return become(c, TRAILER_VALUE);
      return cw_is_token_byte(ch) && ++c->overhead <= MAX_OVERHEAD ? 0 : -1;
    case TRAILER_VALUE:
      if (ch == '\r') return become(c, TRAILER_LF);
      return cw_is_value_byte(ch) && ++c->overhead <= MAX_OVERHEAD ? 0 : -1;
    case TRAILER_LF: return ch == '\n' ? become(c, TRAILER_START) : -1;
    case END_LF: return ch == '\n' ? become(c, DONE) : -1;
    default: return -1;
  }
}

ssize_t cw_chunked_next(cw_chunked_t *c, const char *p, size_t n, cw_span_t *data) {
  size_t used = 0;
  *data = (cw_span_t){NULL, 0};
  while (used < n && c->state != DONE) {
    if (c->state == DATA) {
      size_t run = CW_MIN((uint64_t)(n - used), c->left);
      *data = (cw_span_t){p + used, run};
      c->left -= run;
      if (c->left == 0) c->state = DATA_CR;
      return (ssize_t)(used + run);
    }
    if (step(c, (unsigned char)p[used]) != 0) return -1;
    used++;
  }
  return (ssize_t)used;
}
