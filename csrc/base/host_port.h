/* SPDX-License-Identifier: MIT */
/* Hosts and ports as people write them. Pure; any thread. */
#ifndef CW_BASE_HOST_PORT_H
#define CW_BASE_HOST_PORT_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/macros.h"

/* Whether it is a port: up to five digits, at most 65535. */
bool cw_is_port(cw_span_t text);

/* Splits "HOST", "HOST:PORT", ":PORT", "[V6]" or "[V6]:PORT" into two parts of `text`:
 * the host without brackets, and what stands behind the colon, whatever it is;
 * `port->p` is NULL where there is no colon. Returns 0, or -1 where it is none of
 * these: a bare IPv6 address, of which nobody can tell where it ends, or a stray
 * bracket. */
CW_MUSTCHECK int cw_host_port_split(const char *text, cw_span_t *host, cw_span_t *port);

/* The same into texts, with `default_port` where none is written and "localhost" for no
 * host. Returns 0, or -1 also where the port is none or the host too long. */
CW_MUSTCHECK int cw_host_port(const char *text, const char *default_port,
                              char host[CW_NAME_TEXT], char port[CW_PORT_TEXT]);

#endif
