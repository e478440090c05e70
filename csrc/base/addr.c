/* SPDX-License-Identifier: MIT */
/* Addresses and networks. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fault.h"

enum { V4_BITS = 96 }; /* of the mapped prefix */

/* Returns the number of bits of the family, or 0 where it is no address. */
static int parse(cw_span_t text, cw_addr_t *out) {
  static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  char copy[INET6_ADDRSTRLEN];
  if (text.len >= 2 && text.p[0] == '[' && text.p[text.len - 1] == ']')
    text = (cw_span_t){text.p + 1, text.len - 2};
  if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.p, '\0', text.len))
    return 0;
  memcpy(copy, text.p, text.len);
  copy[text.len] = '\0';
  if (inet_pton(AF_INET, copy, out->b + 12) == 1) {
    memcpy(out->b, mapped, sizeof(mapped));
    return 32;
  }
  return inet_pton(AF_INET6, copy, out->b) == 1 ? 128 : 0;
}

int cw_addr_parse(cw_span_t text, cw_addr_t *out) {
  return parse(text, out) ? 0 : -1;
}

static int add_word(cw_networks_t *list, cw_span_t word) {
  const char *slash = memchr(word.p, '/', word.len);
  cw_span_t host = {word.p, slash ? (size_t)(slash - word.p) : word.len};
  cw_network_t net;
  int family = parse(host, &net.addr), bits = family;
  if (!family) return -1;
  if (slash) {
    size_t n = word.len - host.len - 1;
    bits = 0;
    if (n == 0 || n > 3) return -1;
    for (size_t i = 1; i <= n; i++) {
      if (slash[i] < '0' || slash[i] > '9') return -1;
      bits = bits * 10 + (slash[i] - '0');
    }
    if (bits > family) return -1;
  }
  net.bits = (uint8_t)(family == 32 ? V4_BITS + bits : bits);
  cw_network_t *items = cw_realloc(list->items, (list->n + 1) * sizeof(*items));
  if (!items) return -2;
  list->items = items;
  list->items[list->n++] = net;
  return 0;
}

int cw_networks_add(cw_networks_t *list, const char *text, cw_span_t *bad) {
  *bad = (cw_span_t){NULL, 0};
  while (*text) {
    size_t n = strcspn(text, ",");
    cw_span_t word = {text, n};
    for (; word.len && word.p[0] == ' '; word.len--) word.p++;
    while (word.len && word.p[word.len - 1] == ' ') word.len--;
    if (word.len == 1 && word.p[0] == '*') {
      list->all = true;
    } else if (word.len) {
      int rc = add_word(list, word);
      if (rc == -1) *bad = word;
      if (rc != 0) return -1;
    }
    text += n + (text[n] == ',');
  }
  return 0;
}

void cw_networks_free(cw_networks_t *list) {
  free(list->items);
  memset(list, 0, sizeof(*list));
}

bool cw_networks_have(const cw_networks_t *list, const cw_addr_t *addr) {
  if (list->all || !addr) return true;
  for (unsigned i = 0; i < list->n; i++) {
    const cw_network_t *net = &list->items[i];
    unsigned whole = net->bits / 8, rest = net->bits % 8;
    if (memcmp(net->addr.b, addr->b, whole) != 0) continue;
    uint8_t mask = (uint8_t)(0xff00u >> rest);
    if (rest == 0 || ((net->addr.b[whole] ^ addr->b[whole]) & mask) == 0) return true;
  }
  return false;
}

bool cw_peer_address(const struct sockaddr_storage *peer, cw_addr_t *addr,
                     char text[CW_ADDR_TEXT], char port[CW_PORT_TEXT]) {
  unsigned number;
  if (peer->ss_family == AF_INET) {
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const struct sockaddr_in *in = (const void *)peer;
    memcpy(addr->b, mapped, sizeof(mapped));
    memcpy(addr->b + 12, &in->sin_addr, 4);
    number = ntohs(in->sin_port);
  } else if (peer->ss_family == AF_INET6) {
    const struct sockaddr_in6 *in6 = (const void *)peer;
    memcpy(addr->b, &in6->sin6_addr, 16);
    number = ntohs(in6->sin6_port);
  } else {
    return false;
  }
  /* A v4 client on a dual-stack socket is known by its v4 address. */
  bool v4 = IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)(const void *)addr->b);
  inet_ntop(v4 ? AF_INET : AF_INET6, addr->b + (v4 ? 12 : 0), text, CW_ADDR_TEXT);
  snprintf(port, CW_PORT_TEXT, "%hu", (unsigned short)number);
  return true;
}
