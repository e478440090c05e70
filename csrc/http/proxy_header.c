/* SPDX-License-Identifier: MIT */
/* PROXY protocol headers. */
#include "http/proxy_header.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
  V1_MAX = 107, /* with its CRLF */
  V2_FIXED = 16,
  V2_MAX = 2048, /* addresses and TLVs we are willing to skip */
};

static const char v1_start[] = "PROXY ";
static const char v2_start[] = "\r\n\r\n\0\r\nQUIT\n";
enum { V1_START = sizeof(v1_start) - 1, V2_START = sizeof(v2_start) - 1 };

/* Cuts one blank-ended word off. */
static cw_span_t word(cw_span_t *s) {
  const char *sp = s->len ? memchr(s->p, ' ', s->len) : NULL;
  cw_span_t w = {s->p, sp ? (size_t)(sp - s->p) : s->len};
  size_t used = w.len + (sp != NULL);
  s->p += used;
  s->len -= used;
  return w;
}

static bool take_addr(cw_span_t w, int family, char out[CW_ADDR_TEXT]) {
  unsigned char raw[16];
  if (w.len == 0 || w.len >= CW_ADDR_TEXT || memchr(w.p, '\0', w.len)) return false;
  memcpy(out, w.p, w.len);
  out[w.len] = '\0';
  return inet_pton(family, out, raw) == 1;
}

/* A port: 0 to 65535, no leading zero. */
static bool take_port(cw_span_t w, char out[CW_PORT_TEXT]) {
  unsigned n = 0;
  if (w.len == 0 || w.len > 5 || (w.len > 1 && w.p[0] == '0')) return false;
  for (size_t i = 0; i < w.len; i++) {
    if (w.p[i] < '0' || w.p[i] > '9') return false;
    n = n * 10 + (unsigned)(w.p[i] - '0');
  }
  if (n > 65535) return false;
  memcpy(out, w.p, w.len);
  out[w.len] = '\0';
  return true;
}

static ssize_t parse_v1(const char *p, size_t n, cw_proxy_info_t *out) {
  const char *lf = memchr(p, '\n', CW_MIN(n, (size_t)V1_MAX));
  if (!lf) return n >= V1_MAX ? CW_PROXY_BAD : 0;
  size_t len = (size_t)(lf - p) + 1;
  if (len < V1_START + 2 || p[len - 2] != '\r') return CW_PROXY_BAD;
  cw_span_t line = {p + V1_START, len - 2 - V1_START};
  cw_span_t family = word(&line);
  if (family.len == 7 && memcmp(family.p, "UNKNOWN", 7) == 0) return (ssize_t)len;
  bool v4 = family.len == 4 && memcmp(family.p, "TCP4", 4) == 0;
  bool v6 = family.len == 4 && memcmp(family.p, "TCP6", 4) == 0;
  int af = v4 ? AF_INET : AF_INET6;
  if ((!v4 && !v6) || !take_addr(word(&line), af, out->src_addr) ||
      !take_addr(word(&line), af, out->dst_addr) ||
      !take_port(word(&line), out->src_port) || !take_port(line, out->dst_port))
    return CW_PROXY_BAD;
  memcpy(out->family, family.p, 4);
  out->family[4] = '\0';
  return (ssize_t)len;
}

static unsigned be16(const unsigned char *p) {
  return (unsigned)p[0] << 8 | p[1];
}

static ssize_t parse_v2(const char *p, size_t n, cw_proxy_info_t *out) {
  const unsigned char *u = (const unsigned char *)p;
  if (n < V2_FIXED) return 0;
  unsigned version = u[12] >> 4, command = u[12] & 15, family = u[13],
           len = be16(u + 14);
  if (version != 2 || command > 1 || len > V2_MAX) return CW_PROXY_BAD;
  if (n < V2_FIXED + len) return 0;
  ssize_t total = V2_FIXED + (ssize_t)len;
  /* LOCAL: the proxy's own health check. UNSPEC and datagrams tell no TCP client. */
  if (command == 0 || family == 0) return total;
  bool v4 = family == 0x11;
  if (!v4 && family != 0x21) return CW_PROXY_BAD;
  size_t size = v4 ? 4 : 16;
  if (len < 2 * size + 4) return CW_PROXY_BAD;
  const unsigned char *a = u + V2_FIXED;
  int af = v4 ? AF_INET : AF_INET6;
  inet_ntop(af, a, out->src_addr, sizeof(out->src_addr));
  inet_ntop(af, a + size, out->dst_addr, sizeof(out->dst_addr));
  snprintf(out->src_port, sizeof(out->src_port), "%u", be16(a + 2 * size));
  snprintf(out->dst_port, sizeof(out->dst_port), "%u", be16(a + 2 * size + 2));
  memcpy(out->family, v4 ? "TCP4" : "TCP6", 5);
  return total;
}

ssize_t cw_proxy_header_parse(const char *p, size_t n, cw_proxy_mode_t mode,
                              cw_proxy_info_t *out) {
  memset(out, 0, sizeof(*out));
  if (n == 0) return 0;
  bool v1 =
      mode != CW_PROXY_V2 && memcmp(p, v1_start, CW_MIN(n, (size_t)V1_START)) == 0;
  bool v2 =
      mode != CW_PROXY_V1 && memcmp(p, v2_start, CW_MIN(n, (size_t)V2_START)) == 0;
  if (v1 && n >= V1_START) return parse_v1(p, n, out);
  if (v2 && n >= V2_START) return parse_v2(p, n, out);
  if (v1 || v2) return 0;
  return mode == CW_PROXY_AUTO ? CW_PROXY_NONE : CW_PROXY_BAD;
}
