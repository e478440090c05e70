/* SPDX-License-Identifier: MIT */
/* Our own strictness, beside the clause that asks for it. */
#include "http/checks.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/hex.h"

#define T CW_BYTE_TOKEN
#define V CW_BYTE_VALUE
#define R CW_BYTE_TARGET
#define H CW_BYTE_HOST

const uint8_t cw_byte_class[256] = {
    ['\t'] = V,
    [' '] = V,
    ['!'] = T | V | R | H,
    ['"'] = V | R,
    ['#'] = T | V, /* a fragment is never sent: RFC 9112 section 3.2 */
    ['$'] = T | V | R | H,
    ['%'] = T | V | R | H,
    ['&'] = T | V | R | H,
    ['\''] = T | V | R | H,
    ['('] = V | R | H,
    [')'] = V | R | H,
    ['*'] = T | V | R | H,
    ['+'] = T | V | R | H,
    [','] = V | R | H,
    ['-'] = T | V | R | H,
    ['.'] = T | V | R | H,
    ['/'] = V | R,
    ['0' ... '9'] = T | V | R | H,
    [':'] = V | R,
    [';'] = V | R | H,
    ['<'] = V | R,
    ['='] = V | R | H,
    ['>'] = V | R,
    ['?'] = V | R,
    ['@'] = V | R,
    ['A' ... 'Z'] = T | V | R | H,
    ['['] = V | R,
    ['\\'] = V | R,
    [']'] = V | R,
    ['^'] = T | V | R,
    ['_'] = T | V | R | H,
    ['`'] = T | V | R,
    ['a' ... 'z'] = T | V | R | H,
    ['{'] = V | R, /* not in RFC 3986, yet browsers send these five in queries */
    ['|'] = T | V | R,
    ['}'] = V | R,
    ['~'] = T | V | R | H,
    [0x80 ... 0xff] = V, /* obs-text */
};

static bool all(cw_span_t s, uint8_t class) {
  for (size_t i = 0; i < s.len; i++)
    if (!(cw_byte_class[(unsigned char)s.p[i]] & class)) return false;
  return true;
}

bool cw_is_token(cw_span_t s) {
  return s.len > 0 && all(s, CW_BYTE_TOKEN);
}

bool cw_is_value(cw_span_t s) {
  return all(s, CW_BYTE_VALUE);
}

bool cw_span_is(cw_span_t s, const char *word) {
  if (strlen(word) != s.len) return false;
  for (size_t i = 0; i < s.len; i++) {
    unsigned char c = (unsigned char)s.p[i];
    if (c >= 'A' && c <= 'Z') c |= 0x20;
    if (c != (unsigned char)word[i]) return false;
  }
  return true;
}

static bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

cw_span_t cw_trim(cw_span_t s) {
  for (; s.len && is_blank(s.p[0]); s.len--) s.p++;
  while (s.len && is_blank(s.p[s.len - 1])) s.len--;
  return s;
}

/* Cuts the first element off a comma-separated list. */
static cw_span_t next_element(cw_span_t *list) {
  const char *comma = list->len ? memchr(list->p, ',', list->len) : NULL;
  cw_span_t e = {list->p, comma ? (size_t)(comma - list->p) : list->len};
  size_t used = e.len + (comma != NULL);
  list->p += used;
  list->len -= used;
  return cw_trim(e);
}

bool cw_list_has(cw_span_t list, const char *word) {
  while (list.len)
    if (cw_span_is(next_element(&list), word)) return true;
  return false;
}

bool cw_parse_length(cw_span_t s, int64_t *out) {
  int64_t n = 0;
  if (s.len == 0) return false;
  for (size_t i = 0; i < s.len; i++) {
    if (s.p[i] < '0' || s.p[i] > '9') return false;
    n = n * 10 + (s.p[i] - '0');
    if (n > (int64_t)1 << 53) return false;
  }
  *out = n;
  return true;
}

int cw_check_transfer_encoding(cw_span_t s) {
  static const char *const known[] = {"chunked",  "gzip",       "x-gzip",  "deflate",
                                      "compress", "x-compress", "identity"};
  if (cw_span_is(cw_trim(s), "chunked")) return 0;
  bool unknown = false, last_chunked = false;
  unsigned chunked = 0, elements = 0;
  if (s.len == 0) return 400;
  while (s.len) {
    cw_span_t e = next_element(&s);
    if (!cw_is_token(e)) return 400;
    last_chunked = cw_span_is(e, "chunked");
    chunked += last_chunked;
    elements++;
    bool listed = false;
    for (size_t i = 0; i < CW_ARRAY_LEN(known); i++) listed |= cw_span_is(e, known[i]);
    unknown |= !listed;
  }
  /* Known codings before one final "chunked" are well framed, but not ours to undo. */
  if (unknown || (chunked == 1 && last_chunked && elements > 1)) return 501;
  return 400;
}

/* RFC 3986 section 3.2.2: an IPv6 address, or IPvFuture ("v1.x"). */
static bool is_ip_literal(cw_span_t s) {
  char text[INET6_ADDRSTRLEN];
  struct in6_addr addr;
  if (s.p[0] == 'v' || s.p[0] == 'V') {
    size_t dot = 1;
    while (dot < s.len && cw_hex_value(s.p[dot]) >= 0) dot++;
    if (dot == 1 || dot + 1 >= s.len || s.p[dot] != '.') return false;
    for (size_t i = dot + 1; i < s.len; i++)
      if (s.p[i] == '%' ||
          (!(cw_byte_class[(unsigned char)s.p[i]] & CW_BYTE_HOST) && s.p[i] != ':'))
        return false;
    return true;
  }
  if (s.len >= sizeof(text) || memchr(s.p, '\0', s.len)) return false;
  memcpy(text, s.p, s.len);
  text[s.len] = '\0';
  return inet_pton(AF_INET6, text, &addr) == 1;
}

/* Whether every '%' starts an escape. */
static bool escapes_are_whole(cw_span_t s) {
  for (size_t i = 0; i < s.len; i++)
    if (s.p[i] == '%' &&
        (s.len - i < 3 || cw_hex_value(s.p[i + 1]) < 0 || cw_hex_value(s.p[i + 2]) < 0))
      return false;
  return true;
}

bool cw_check_host(cw_span_t s, bool may_be_empty) {
  enum { LONGEST = 256 };
  size_t host;
  if (s.len && s.p[0] == '[') {
    const char *close = memchr(s.p, ']', s.len);
    if (!close || close == s.p + 1) return false;
    host = (size_t)(close + 1 - s.p);
    if (!is_ip_literal((cw_span_t){s.p + 1, host - 2})) return false;
  } else {
    const char *colon = s.len ? memchr(s.p, ':', s.len) : NULL;
    host = colon ? (size_t)(colon - s.p) : s.len;
    cw_span_t name = {s.p, host};
    if (host == 0 && !may_be_empty) return false;
    if (host > LONGEST || !all(name, CW_BYTE_HOST) || !escapes_are_whole(name))
      return false;
  }
  if (host == s.len) return true;
  if (s.p[host] != ':' || s.len - host > 6) return false;
  int port = 0;
  for (size_t i = host + 1; i < s.len; i++) {
    if (s.p[i] < '0' || s.p[i] > '9') return false;
    port = port * 10 + (s.p[i] - '0');
  }
  return port <= 65535;
}

int cw_check_request_line(cw_span_t line, cw_request_line_t *out) {
  const char *sp = memchr(line.p, ' ', line.len);
  const char *last = memrchr(line.p, ' ', line.len);
  if (!sp) return 400;
  out->method = (cw_span_t){line.p, (size_t)(sp - line.p)};
  if (!cw_is_token(out->method) || last == sp) return 400;
  out->target = (cw_span_t){sp + 1, (size_t)(last - sp - 1)};
  if (out->target.len == 0 || !all(out->target, CW_BYTE_TARGET)) return 400;
  const char *v = last + 1;
  size_t n = (size_t)(line.p + line.len - v);
  if (n != 8 || memcmp(v, "HTTP/", 5) != 0 || v[5] < '0' || v[5] > '9' || v[6] != '.' ||
      v[7] < '0' || v[7] > '9')
    return 400;
  if (v[5] != '1') return 505;
  /* What a later minor version adds is for who speaks it: RFC 9110 section 2.5. */
  out->minor = v[7] > '0';
  /* A tunnel is nothing an application can serve (RFC 9110 section 9.3.6). */
  if (cw_span_is(out->method, "connect")) return 501;
  return 0;
}

int cw_check_target(cw_span_t method, cw_span_t target, cw_target_t *out) {
  *out = (cw_target_t){.path = {"", 0}, .query = {"", 0}, .authority = {"", 0}};
  cw_span_t rest = target;
  if (target.p[0] == '*') {
    /* Asterisk form: section 3.2.4, only for OPTIONS. */
    bool options = method.len == 7 && memcmp(method.p, "OPTIONS", 7) == 0;
    return target.len == 1 && options ? 0 : 400;
  }
  if (target.p[0] != '/') {
    /* Absolute form: section 3.2.2; userinfo is refused as section 4.2.4 of RFC 9110
     * advises. */
    size_t skip;
    out->https = target.len > 8 && cw_span_is((cw_span_t){target.p, 8}, "https://");
    if (target.len > 7 && cw_span_is((cw_span_t){target.p, 7}, "http://"))
      skip = 7;
    else if (out->https)
      skip = 8;
    else
      return 400;
    rest = (cw_span_t){target.p + skip, target.len - skip};
    size_t n = 0;
    while (n < rest.len && rest.p[n] != '/' && rest.p[n] != '?') n++;
    out->authority = (cw_span_t){rest.p, n};
    if (!cw_check_host(out->authority, false)) return 400;
    rest.p += n;
    rest.len -= n;
  }
  const char *mark = rest.len ? memchr(rest.p, '?', rest.len) : NULL;
  out->path = (cw_span_t){rest.p, mark ? (size_t)(mark - rest.p) : rest.len};
  if (out->path.len == 0) out->path = (cw_span_t){"/", 1};
  if (mark) out->query = (cw_span_t){mark + 1, rest.len - (size_t)(mark + 1 - rest.p)};
  return 0;
}

size_t cw_percent_decode(cw_span_t s, char *out) {
  char *o = out;
  for (size_t i = 0; i < s.len; i++) {
    if (s.p[i] != '%' || s.len - i < 3 || cw_hex_value(s.p[i + 1]) < 0 ||
        cw_hex_value(s.p[i + 2]) < 0) {
      *o++ = s.p[i];
      continue;
    }
    *o++ = (char)(cw_hex_value(s.p[i + 1]) * 16 + cw_hex_value(s.p[i + 2]));
    i += 2;
  }
  return (size_t)(o - out);
}

/* A field line begins with its name: no obs-fold, no empty name. */
static bool starts_field(char c) {
  return cw_is_token_byte((unsigned char)c);
}

ptrdiff_t cw_scan_head(const char *p, size_t n, size_t *scanned) {
  size_t line = *scanned;
  for (;;) {
    const char *lf = line < n ? memchr(p + line, '\n', n - line) : NULL;
    if (!lf) {
      /* A CR may only be the last byte so far. */
      const char *cr = line < n ? memchr(p + line, '\r', n - line) : NULL;
      if (cr && cr != p + n - 1) return -1;
      if (line < n && line > 0 && !starts_field(p[line]) && p[line] != '\r') return -1;
      *scanned = line;
      return 0;
    }
    size_t end = (size_t)(lf - p);
    if (end == line || memchr(p + line, '\r', end - line) != p + end - 1) return -1;
    if (end == line + 1 && line > 0) return (ptrdiff_t)end + 1;
    if (line > 0 && !starts_field(p[line])) return -1;
    line = end + 1;
  }
}

bool cw_is_head(cw_span_t method) {
  return method.len == 4 && memcmp(method.p, "HEAD", 4) == 0;
}

bool cw_is_head_line(cw_span_t line) {
  return line.len > 5 && memcmp(line.p, "HEAD ", 5) == 0;
}
