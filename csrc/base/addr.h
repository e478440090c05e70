/* SPDX-License-Identifier: MIT */
/* IP addresses and lists of networks: who is trusted to speak for others. Pure; any
 * thread. */
#ifndef CW_BASE_ADDR_H
#define CW_BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

/* Bytes of texts, with the final NUL. */
enum {
  CW_ADDR_TEXT = 46,  /* an IP address */
  CW_PORT_TEXT = 6,   /* a port */
  CW_NAME_TEXT = 256, /* a host's name (RFC 1035 section 2.3.4), or a path */
  CW_LISTENER_TEXT =
      112, /* what a listener is bound to: an address, a name or a path */
};

struct sockaddr_storage;

/* An address as 16 bytes; IPv4 in its mapped form ::ffff:a.b.c.d. */
typedef struct cw_addr {
  uint8_t b[16];
} cw_addr_t;

typedef struct cw_network {
  cw_addr_t addr;
  uint8_t bits; /* of the prefix, 0 to 128 */
} cw_network_t;

/* Networks, or everybody, or Unix sockets' peers (who have no address). */
typedef struct cw_networks {
  cw_network_t *items; /* owned */
  unsigned n;
  bool all;
} cw_networks_t;

/* Reads "a.b.c.d", "::1", a v4-mapped form or either in brackets, without a port.
 * Returns 0 or -1. */
CW_MUSTCHECK int cw_addr_parse(cw_span_t text, cw_addr_t *out);

/* Adds a comma-separated list of addresses and CIDR networks, or "*". Returns 0, or -1
 * with the offending word in `*bad` where there is one (else out of memory). */
CW_MUSTCHECK int cw_networks_add(cw_networks_t *list, const char *text, cw_span_t *bad);
void cw_networks_free(cw_networks_t *list);

/* Whether `addr` is in one of them. NULL, the peer of a Unix socket, is: who can open
 * the socket's file is on this machine. */
bool cw_networks_have(const cw_networks_t *list, const cw_addr_t *addr);

/* The address of a socket's peer, as bytes and as text. False for one without. */
bool cw_peer_address(const struct sockaddr_storage *peer, cw_addr_t *addr,
                     char text[CW_ADDR_TEXT], char port[CW_PORT_TEXT]);

#endif
