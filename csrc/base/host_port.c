/* SPDX-License-Identifier: MIT */
/* Splitting hosts and ports. */
#include "base/host_port.h"

#include <stdio.h>
#include <string.h>

bool cw_is_port(cw_span_t text) {
  unsigned n = 0;
  for (size_t i = 0; i < text.len && i < CW_PORT_TEXT; i++) {
    if (text.p[i] < '0' || text.p[i] > '9') return false;
    n = n * 10 + (unsigned)(text.p[i] - '0');
  }
  return text.len > 0 && text.len < CW_PORT_TEXT && n <= 65535;
}

int cw_host_port_split(const char *text, cw_span_t *host, cw_span_t *port) {
  const char *bracket = text[0] == '[' ? strchr(text, ']') : NULL;
  const char *colon = strchr(bracket ? bracket : text, ':');
  const char *end = colon ? colon : text + strlen(text);
  if (colon && strchr(colon + 1, ':')) return -1;
  if (bracket && bracket + 1 != end) return -1;
  *host = bracket ? (cw_span_t){text + 1, (size_t)(bracket - text - 1)}
                  : (cw_span_t){text, (size_t)(end - text)};
  if (!bracket && memchr(host->p, '[', host->len)) return -1;
  *port = colon ? (cw_span_t){colon + 1, strlen(colon + 1)} : (cw_span_t){NULL, 0};
  return 0;
}

int cw_host_port(const char *text, const char *default_port, char host[CW_NAME_TEXT],
                 char port[CW_PORT_TEXT]) {
  cw_span_t name, number;
  if (cw_host_port_split(text, &name, &number) != 0 || name.len >= CW_NAME_TEXT ||
      (number.p && !cw_is_port(number)))
    return -1;
  if (name.len)
    snprintf(host, CW_NAME_TEXT, "%.*s", (int)name.len, name.p);
  else
    snprintf(host, CW_NAME_TEXT, "localhost");
  snprintf(port, CW_PORT_TEXT, "%s", number.p ? number.p : default_port);
  return 0;
}
