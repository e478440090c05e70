/* SPDX-License-Identifier: MIT */
/* Values of options that name one of a few ways: checked by the supervisor, used by
 * workers. Pure; any thread. */
#ifndef CW_BASE_MODES_H
#define CW_BASE_MODES_H

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

/* The value named `text`, or -1. */
int cw_proxy_mode_parse(const char *text);
int cw_underscores_parse(const char *text);

#endif
