/* SPDX-License-Identifier: MIT */
/* Values of options that name one of a few ways: checked by the supervisor, used by
 * workers. Pure; any thread. */
#ifndef CW_BASE_CHOICES_H
#define CW_BASE_CHOICES_H

#include "base/macros.h"

/* --proxy-protocol: the PROXY header in front of each connection. */
typedef enum cw_proxy_mode {
  CW_PROXY_OFF,
  CW_PROXY_V1,
  CW_PROXY_V2,
  CW_PROXY_AUTO, /* either, or none */
} cw_proxy_mode_t;

/* --header-map: field names with an underscore. */
typedef enum cw_underscores {
  CW_UNDERSCORE_DROP,
  CW_UNDERSCORE_REFUSE,
  CW_UNDERSCORE_KEEP,
} cw_underscores_t;

/* --trusted-proxy-headers: what a trusted proxy is believed beside the scheme. */
enum {
  CW_SAYS_FOR = 1,       /* X-Forwarded-For */
  CW_SAYS_HOST = 2,      /* X-Forwarded-Host */
  CW_SAYS_PORT = 4,      /* X-Forwarded-Port */
  CW_SAYS_FORWARDED = 8, /* Forwarded: RFC 7239 */
};

/* --interface: what kind of app is served. */
typedef enum cw_interface {
  CW_INTERFACE_AUTO,
  CW_INTERFACE_WSGI,
  CW_INTERFACE_ASGI
} cw_interface_t;

/* --ws-per-message-deflate: whether WebSocket messages are compressed. */
typedef enum cw_ws_compression {
  CW_WS_COMPRESS_OFF,
  CW_WS_COMPRESS_ON,      /* each for itself: a socket holds nothing between two */
  CW_WS_COMPRESS_CONTEXT, /* each socket keeps what came before: smaller messages */
} cw_ws_compression_t;

/* The value named `text`, or -1. */
int cw_interface_parse(const char *text);
int cw_proxy_mode_parse(const char *text);
int cw_underscores_parse(const char *text);
int cw_ws_compression_parse(const char *text);

/* The bits that a comma-separated list of field names stands for, NULL for none, or -1
 * with the word that is no such name in `*bad`. x-forwarded-proto is one, and no bit:
 * the scheme always counts. */
int cw_proxy_headers_parse(const char *text, cw_span_t *bad);

#endif
