/* SPDX-License-Identifier: MIT */
/* The PROXY protocol's header, versions 1 (text) and 2 (binary), as its specification
 * at haproxy.org says (proxy-protocol.txt, revision 2020). Pure function of bytes. */
#ifndef CW_HTTP_PROXY_HEADER_H
#define CW_HTTP_PROXY_HEADER_H

#include <sys/types.h>

#include "base/addr.h"
#include "base/choices.h"
#include "base/macros.h"

typedef struct cw_proxy_info {
  char family[8]; /* "TCP4", "TCP6"; "" where the sender speaks for itself */
  char src_addr[CW_ADDR_TEXT], dst_addr[CW_ADDR_TEXT];
  char src_port[6], dst_port[6];
} cw_proxy_info_t;

enum { CW_PROXY_BAD = -1, CW_PROXY_NONE = -2 };

/* Reads the header at the start of `p`. Returns its length, 0 where more bytes are
 * needed, CW_PROXY_BAD, or CW_PROXY_NONE where there is none (AUTO only). */
CW_MUSTCHECK ssize_t cw_proxy_header_parse(const char *p, size_t n,
                                           cw_proxy_mode_t mode, cw_proxy_info_t *out);

#endif
