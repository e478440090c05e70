/* SPDX-License-Identifier: MIT */
/* Bounded output and its escapes. */
#include "http/line.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/escape.h"
#include "base/hex.h"

void cw_line_put(cw_line_t *s, const char *p, size_t n) {
  n = CW_MIN(n, s->size - s->n);
  if (n) memcpy(s->p + s->n, p, n);
  s->n += n;
}

void cw_line_text(cw_line_t *s, const char *text) {
  cw_line_put(s, text, strlen(text));
}

void cw_line_printf(cw_line_t *s, const char *fmt, ...) {
  char text[128];
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(text, sizeof(text), fmt, ap);
  va_end(ap);
  if (n > 0) cw_line_put(s, text, CW_MIN((size_t)n, sizeof(text) - 1));
}

void cw_line_number(cw_line_t *s, int64_t n) {
  char text[24], *p = text + sizeof(text);
  uint64_t u = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
  do *--p = (char)('0' + u % 10);
  while (u /= 10);
  if (n < 0) *--p = '-';
  cw_line_put(s, p, (size_t)(text + sizeof(text) - p));
}

void cw_line_micros(cw_line_t *s, unsigned us) {
  char text[7] = {'.'};
  for (int i = 6; i > 0; i--, us /= 10) text[i] = (char)('0' + us % 10);
  cw_line_put(s, text, sizeof(text));
}

/* Puts a piece that must not be cut. Returns false where it does not fit. */
static bool put_whole(cw_line_t *s, const char *p, size_t n, size_t *most) {
  if (n > *most || n > s->size - s->n) return false;
  memcpy(s->p + s->n, p, n);
  s->n += n;
  *most -= n;
  return true;
}

/* Puts the bytes from `i` on that need no escape; returns where they end, or SIZE_MAX
 * where there was no room for all of them. */
static size_t put_plain(cw_line_t *s, cw_span_t v, size_t i, size_t *most) {
  size_t end = i;
  while (end < v.len && v.p[end] >= 0x20 && v.p[end] < 0x7f && v.p[end] != '"' &&
         v.p[end] != '\\')
    end++;
  size_t n = CW_MIN(end - i, CW_MIN(*most, s->size - s->n));
  (void)put_whole(s, v.p + i, n, most);
  return n < end - i ? SIZE_MAX : end;
}

void cw_line_escaped(cw_line_t *s, cw_span_t v, size_t most) {
  for (size_t i = 0; (i = put_plain(s, v, i, &most)) < v.len; i++) {
    unsigned char c = (unsigned char)v.p[i];
    char hex[CW_HEX_ESCAPE];
    cw_hex_escape(c, hex);
    const char pair[] = {'\\', (char)c};
    bool quoted = c == '"' || c == '\\';
    if (!put_whole(s, quoted ? pair : hex, quoted ? sizeof(pair) : sizeof(hex), &most))
      return;
  }
}

void cw_line_json(cw_line_t *s, cw_span_t v, size_t most) {
  for (size_t i = 0; (i = put_plain(s, v, i, &most)) < v.len;) {
    const unsigned char *p = (const unsigned char *)v.p + i;
    size_t n = p[0] < 0x80 ? 1 : cw_utf8_length(p, v.len - i);
    /* What is plain is out already: this is UTF-8, a quote, or has to be a number. */
    unsigned code = n > 1 ? cw_hidden_control(p, n) : p[0];
    char text[8];
    bool ok;
    if (p[0] == '"' || p[0] == '\\') {
      ok = put_whole(s, p[0] == '"' ? "\\\"" : "\\\\", 2, &most);
    } else if (n > 1 && code == 0) {
      ok = put_whole(s, v.p + i, n, &most);
    } else {
      snprintf(text, sizeof(text), "\\u%04X", code & 0xffff);
      ok = put_whole(s, text, 6, &most);
    }
    if (!ok) return;
    i += CW_MAX(n, 1u);
  }
}
